import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPosixHostFiles, type FileSystemMount, type ProgramRun, parseMountPoints } from "./posix.ts";

let folder: string;
const grantVmAccess = async (): Promise<void> => {};
const files = createPosixHostFiles({ grantVmAccess });

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "posix host files ")));
});

afterEach(async () => {
  await files.unmountAll(folder);
  await rm(folder, { recursive: true, force: true });
});

async function directory(...names: string[]): Promise<string> {
  const path = join(folder, ...names);
  await mkdir(path, { recursive: true });
  return path;
}

async function mounted(): Promise<readonly string[]> {
  const points = parseMountPoints(await readFile("/proc/self/mountinfo", "utf8"));
  return points.filter((point) => point.startsWith(folder));
}

/** Host files that record programs instead of running them. */
function recording(answer: (run: ProgramRun) => number = () => 0) {
  const runs: ProgramRun[] = [];
  const recorded = createPosixHostFiles({
    grantVmAccess,
    run: async (run) => {
      runs.push(run);
      return { status: answer(run), stderr: "said no\n" };
    },
  });
  return { runs, recorded };
}

describe("finding", () => {
  it("gives the kind of a path, through symbolic links", async () => {
    await writeFile(join(folder, "file"), "");
    await symlink("file", join(folder, "link"));
    await symlink("nowhere", join(folder, "broken"));
    expect(await files.kind(folder)).toBe("directory");
    expect(await files.kind(join(folder, "file"))).toBe("file");
    expect(await files.kind(join(folder, "link"))).toBe("file");
    expect(await files.kind(join(folder, "broken"))).toBeUndefined();
    expect(await files.kind(join(folder, "absent"))).toBeUndefined();
    expect(await files.kind(join(folder, "file", "below"))).toBeUndefined();
    expect(await files.kind("/dev/null")).toBe("other");
    await expect(files.kind("bad\0path")).rejects.toThrow();
    expect(await files.realPath(join(folder, "link"))).toBe(join(folder, "file"));
  });

  it("gives the name of a block device, but not of other devices or numbers", async () => {
    const [name = ""] = await readdir("/sys/block");
    const [major = 0, minor = 0] = (await readFile(`/sys/block/${name}/dev`, "utf8")).split(":").map(Number);
    const device = { major, minor };
    expect(await files.blockDevice(device, `/dev/${name}`)).toEqual({ path: `/dev/${name}`, isNamed: true });
    expect(await files.blockDevice(device, "/dev/none")).toEqual({ path: `/dev/${name}`, isNamed: false });
    expect(await files.blockDevice(device, "/dev/null")).toEqual({ path: `/dev/${name}`, isNamed: false });
    expect(await files.blockDevice({ major: 4000, minor: 1 }, `/dev/${name}`)).toBeUndefined();
    // The number of /dev/null, a character device.
    expect(await files.blockDevice({ major: 1, minor: 3000 }, "/dev/null")).toBeUndefined();
  });
});

describe("mountinfo", () => {
  it("is read with its octal escapes", () => {
    const line = (point: string): string => `36 35 98:0 /root ${point} rw,noatime shared:1 - ext4 /dev/x rw`;
    expect(parseMountPoints(`${line("/a\\040b")}\n${line("/back\\134slash")}\n${line("/ü\\011t\\012n")}\n`)).toEqual([
      "/a b",
      "/back\\slash",
      "/ü\tt\nn",
    ]);
  });
});

describe("translating", () => {
  const lower = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => `/var/lib/containerd/overlayfs/snapshots/${index + 1000}/fs`);

  it.each<[string, FileSystemMount, readonly string[]]>([
    [
      "a bind",
      { type: "bind", source: "/s", options: ["rbind", "ro"] },
      ["-n", "-c", "--options=rbind,ro", "--", "/s"],
    ],
    [
      "a bind without the option",
      { type: "bind", source: "/s", options: ["ro"] },
      ["-n", "-c", "--options=bind,ro", "--", "/s"],
    ],
    [
      "an overlay",
      { type: "overlay", source: "overlay", options: ["index=off", "lowerdir=/a:/b"] },
      ["-n", "-c", "--types=overlay", "--options=index=off,lowerdir=/a:/b", "--", "overlay"],
    ],
    [
      "no source and no options",
      { type: "tmpfs", source: "", options: [] },
      ["-n", "-c", "--types=tmpfs", "--", "none"],
    ],
  ])("%s", async (_name, mount, expected) => {
    const { runs, recorded } = recording();
    await recorded.mountAll([mount], folder);
    expect(runs).toEqual([{ program: "mount", arguments: [...expected, folder], directory: "/" }]);
  });

  it("is refused at once on a file system that cannot have directories", async () => {
    const { runs, recorded } = recording();
    const mount = { type: "tmpfs", source: "none", options: [] };
    await expect(recorded.mountAll([mount], "/proc/x/y")).rejects.toThrow("mkdir '/proc/x'");
    expect(runs).toEqual([]);
  });

  it("shortens the lower directories of a long overlay by their common parent", async () => {
    const { runs, recorded } = recording();
    const paths = lower(100);
    await recorded.mountAll([{ type: "overlay", source: "overlay", options: [`lowerdir=${paths.join(":")}`] }], folder);
    const short = paths.map((path) => path.slice("/var/lib/containerd/overlayfs/snapshots/".length)).join(":");
    expect(runs).toEqual([
      {
        program: "mount",
        arguments: ["-n", "-c", "--types=overlay", `--options=lowerdir=${short}`, "--", "overlay", folder],
        directory: "/var/lib/containerd/overlayfs/snapshots",
      },
    ]);
  });

  it.each<[string, FileSystemMount, string, string]>([
    [
      "options that exceed a page",
      { type: "overlay", source: "overlay", options: [`lowerdir=${lower(1000).join(":")}`] },
      "InvalidArgument",
      "expected fewer than 3584",
    ],
    [
      "long lower directories without a common parent",
      { type: "overlay", source: "overlay", options: [`lowerdir=/a:${lower(100).join(":")}`] },
      "InvalidArgument",
      "expected fewer than 3584",
    ],
    [
      "long options of another type",
      { type: "ext4", source: "/d", options: ["x".repeat(4000)] },
      "InvalidArgument",
      "4000 bytes",
    ],
    [
      "options for containerd itself",
      { type: "bind", source: "/s", options: ["X-containerd.mkdir=a"] },
      "InvalidArgument",
      "mount manager",
    ],
    ["id-mapped mounts", { type: "bind", source: "/s", options: ["uidmap=0:1:2"] }, "Unimplemented", "uidmap=0:1:2"],
    [
      "a target that does not exist",
      { type: "bind", source: "/s", target: "absent", options: [] },
      "InvalidArgument",
      '"absent"',
    ],
  ])("refuses %s", async (_name, mount, code, message) => {
    const { runs, recorded } = recording();
    await expect(recorded.mountAll([mount], folder)).rejects.toMatchObject({
      name: "HostError",
      code,
      id: folder,
      message: expect.stringContaining(message),
    });
    expect(runs).toEqual([]);
  });

  it("rejects a target outside the root", async () => {
    const root = await directory("root");
    await directory("other");
    await symlink("..", join(root, "up"));
    const { runs, recorded } = recording();
    for (const target of ["up", "../", "up/other"]) {
      await expect(
        recorded.mountAll([{ type: "tmpfs", source: "tmpfs", target, options: [] }], root),
      ).rejects.toMatchObject({ code: "InvalidArgument", message: expect.stringContaining("outside the root") });
    }
    expect(runs).toEqual([]);
  });

  it("reports what mount printed", async () => {
    const { recorded } = recording(() => 32);
    const mount = { type: "nosuchfs", source: "/dev/nothing", options: [] };
    await expect(recorded.mountAll([mount], folder)).rejects.toMatchObject({
      code: "Internal",
      message: `mount ${folder}: nosuchfs mount of "/dev/nothing" at ${folder}: said no`,
    });
  });

  it("mounts nothing more after the caller aborted", async () => {
    const { runs, recorded } = recording();
    const controller = new AbortController();
    const mount = { type: "tmpfs", source: "tmpfs", options: [] };
    const leaving = {
      ...mount,
      get type() {
        controller.abort();
        return "tmpfs";
      },
    };
    await expect(recorded.mountAll([leaving, mount], folder, controller.signal)).rejects.toMatchObject({
      code: "Cancelled",
    });
    expect(runs).toHaveLength(1);
  });
});

describeWith("root")("mounting for real", () => {
  const tmpfs = { type: "tmpfs", source: "tmpfs", options: ["size=1m", "nosuid"] };

  it("mounts and unmounts a writable overlay", async () => {
    const [first, second, upper, work] = [
      await directory("first"),
      await directory("second"),
      await directory("upper"),
      await directory("work"),
    ];
    await writeFile(join(first, "a"), "from first");
    await writeFile(join(second, "b"), "from second");
    const target = join(folder, "made", "rootfs");
    const options = ["index=off", `workdir=${work}`, `upperdir=${upper}`, `lowerdir=${first}:${second}`];
    await files.mountAll([{ type: "overlay", source: "overlay", options }], target);
    expect(await readFile(join(target, "a"), "utf8")).toBe("from first");
    expect(await readFile(join(target, "b"), "utf8")).toBe("from second");
    await writeFile(join(target, "c"), "new");
    expect(await readFile(join(upper, "c"), "utf8")).toBe("new");
    await files.unmountAll(target);
    await files.unmountAll(target);
    expect(await mounted()).toEqual([]);
    expect(await files.kind(join(target, "a"))).toBeUndefined();
  });

  it("mounts an overlay whose options fit a page only when shortened", async () => {
    const layers: string[] = [];
    for (let index = 0; index < 60; index++)
      layers.push(await directory("layers-of-some-length", `${index}`, "fs".repeat(20)));
    await writeFile(join(layers[59] as string, "bottom"), "reached");
    const target = await directory("target");
    await files.mountAll([{ type: "overlay", source: "overlay", options: [`lowerdir=${layers.join(":")}`] }], target);
    expect(await readFile(join(target, "bottom"), "utf8")).toBe("reached");
  });

  it("makes a recursive bind read-only", async () => {
    const source = await directory("source");
    await writeFile(join(source, "file"), "kept");
    const target = await directory("target");
    await files.mountAll([{ type: "bind", source, options: ["rbind", "ro"] }], target);
    expect(await readFile(join(target, "file"), "utf8")).toBe("kept");
    await expect(writeFile(join(target, "file"), "changed")).rejects.toMatchObject({ code: "EROFS" });
    await writeFile(join(source, "file"), "changed");
  });

  it("mounts below the target, and unmounts what is stacked and nested", async () => {
    const target = await directory("target");
    await mkdir(join(target, "in side"));
    await files.mountAll([{ ...tmpfs, target: "/in side" }], target);
    await mkdir(join(target, "in side", "deeper"));
    const again = createPosixHostFiles({ grantVmAccess });
    await again.mountAll([tmpfs], join(target, "in side", "deeper"));
    expect(await mounted()).toEqual([join(target, "in side"), join(target, "in side", "deeper")]);
    await files.unmountAll(target);
    expect(await mounted()).toEqual([]);
  });

  it("finds mounts below a directory, but not those at it", async () => {
    const outer = await directory("outer");
    await files.mountAll([{ type: "tmpfs", source: "outer", options: [] }], outer);
    expect(await files.hasMountsBelow(outer)).toBe(false);
    await files.mountAll([{ type: "tmpfs", source: "inner", options: [] }], join(outer, "inner"));
    expect(await files.hasMountsBelow(outer)).toBe(true);
    expect(await files.hasMountsBelow(join(outer, "inner"))).toBe(false);
    await files.unmountAll(outer);
  });

  it("finds out whether copies of a mount receive later mounts below a path", async () => {
    const outer = await directory("outer");
    await files.mountAll([{ type: "tmpfs", source: "outer", options: [] }], outer);
    await mkdir(join(outer, "below"));
    for (const [propagation, expected] of [
      ["private", false],
      ["shared", true],
      ["slave", false],
      ["unbindable", false],
      ["shared", true],
    ] as const) {
      await promisify(execFile)("mount", [`--make-${propagation}`, outer]);
      expect([propagation, await files.showsLaterMounts(outer)]).toEqual([propagation, expected]);
      expect([propagation, await files.showsLaterMounts(join(outer, "below"))]).toEqual([propagation, expected]);
    }
    await files.mountAll([{ type: "tmpfs", source: "inner", options: ["private"] }], join(outer, "below"));
    expect(await files.showsLaterMounts(join(outer, "below"))).toBe(false);
  });

  it("gives the flags that a bind mount of a path would have", async () => {
    const outer = await directory("outer");
    await files.mountAll([{ type: "tmpfs", source: "outer", options: ["nosuid", "noexec", "noatime"] }], outer);
    await mkdir(join(outer, "below"));
    expect(await files.mountFlags(join(outer, "below"))).toEqual(["nosuid", "noexec"]);
    await files.mountAll([{ type: "tmpfs", source: "inner", options: ["nodev"] }], join(outer, "below"));
    expect(await files.mountFlags(join(outer, "below"))).toEqual(["nodev"]);
    expect(await files.mountFlags(outer)).toEqual(["nosuid", "noexec"]);
  });

  it("leaves neighbours alone whose names have the same prefix", async () => {
    const [target, neighbour] = [await directory("target"), await directory("target-2")];
    await files.mountAll([tmpfs], target);
    await files.mountAll([tmpfs], neighbour);
    await files.unmountAll(target);
    expect(await mounted()).toEqual([neighbour]);
  });

  it("refuses a target that has mounts, and leaves them", async () => {
    const target = await directory("target");
    await files.mountAll([tmpfs], target);
    await expect(files.mountAll([tmpfs], target)).rejects.toMatchObject({ code: "FailedPrecondition" });
    expect(await mounted()).toEqual([target]);
  });

  it("reports a source or layer that is a circle of links or too long as InvalidArgument", async () => {
    const target = await directory("target");
    await symlink("loop", join(folder, "loop"));
    for (const path of [join(folder, "loop"), join(folder, "a".repeat(256))]) {
      for (const mount of [
        { type: "bind", source: path, options: ["rbind"] },
        { type: "overlay", source: "overlay", options: [`lowerdir=${path}:${target}`] },
      ]) {
        await expect(files.mountAll([mount], target)).rejects.toMatchObject({
          code: "InvalidArgument",
          message: expect.stringContaining(`rootfs: ${mount.type} mount of "${mount.source}"`),
        });
      }
    }
    expect(await mounted()).toEqual([]);
  });

  it("undoes what it mounted when a later mount fails", async () => {
    const target = await directory("target");
    const failing = { type: "bind", source: join(folder, "absent"), options: ["bind"] };
    await expect(files.mountAll([tmpfs, failing], target)).rejects.toMatchObject({
      code: "Internal",
      message: expect.stringContaining("absent"),
    });
    expect(await mounted()).toEqual([]);
  });

  it("unmounts what is in use", async () => {
    const target = await directory("target");
    await files.mountAll([tmpfs], target);
    await writeFile(join(target, "held"), "content");
    const held = await open(join(target, "held"));
    try {
      await files.unmountAll(target);
      expect(await mounted()).toEqual([]);
      expect(await held.readFile("utf8")).toBe("content");
    } finally {
      await held.close();
    }
  });

  it("treats a target that does not exist as unmounted", async () => {
    await expect(files.unmountAll(join(folder, "absent"))).resolves.toBeUndefined();
  });

  it("reports what could not be unmounted", async () => {
    const target = await directory("target");
    await files.mountAll([tmpfs], target);
    const { recorded, runs } = recording(() => 32);
    await expect(recorded.unmountAll(target)).rejects.toMatchObject({
      code: "Internal",
      message: `unmount ${target}: still mounted: ${target}: said no`,
    });
    expect(runs.map((run) => run.arguments)).toEqual([
      ["-c", "--", target],
      ["-c", "-l", "--", target],
    ]);
  });
});
