import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  attachLoop,
  MNT_DETACH,
  makeBlockNode,
  makeCharNode,
  mount,
  mountFlags,
  moveMount,
  openTree,
  setMountReadOnly,
  umount,
  withMountNamespace,
} from "./index.ts";

const mebibyte = 1024 * 1024;
let folder: string;
let target: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "linux-calls-"));
  target = join(folder, "target");
  mkdirSync(target);
});

afterEach(() => {
  for (const line of readFileSync("/proc/self/mounts", "utf8").trim().split("\n").toReversed()) {
    const path = line.split(" ")[1] ?? "";
    if (path.startsWith(folder)) umount(path, MNT_DETACH);
  }
  rmSync(folder, { recursive: true });
});

function mountedAt(path: string): string | undefined {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .find((line) => line.split(" ")[1] === path);
}

const describeAsRoot = describeWith("root");

describeAsRoot("mounts", () => {
  it("mounts with flags and data, and unmounts", () => {
    mount("name", target, "tmpfs", mountFlags.MS_NOSUID | mountFlags.MS_NODEV, "size=1m,mode=700");
    expect(mountedAt(target)).toMatch(/^name \S+ tmpfs rw,nosuid,nodev,\S*size=1024k,mode=700/);
    umount(target);
    expect(mountedAt(target)).toBeUndefined();
  });

  it("copies a tree of mounts and makes the copy read-only as a whole", () => {
    mount("outer", target, "tmpfs", 0);
    mkdirSync(join(target, "inner"));
    mount("inner", join(target, "inner"), "tmpfs", 0);
    writeFileSync(join(target, "inner", "file"), "content");
    const copy = join(folder, "copy");
    mkdirSync(copy);
    const tree = openTree(target, { recursive: true });
    setMountReadOnly(tree, true);
    moveMount(tree, copy);
    closeSync(tree);
    expect(readFileSync(join(copy, "inner", "file"), "utf8")).toBe("content");
    for (const path of [copy, join(copy, "inner")]) {
      expect(() => writeFileSync(join(path, "new"), "")).toThrow("EROFS");
    }
    writeFileSync(join(target, "inner", "new"), "");
    setMountReadOnly(target);
    expect(() => writeFileSync(join(target, "new"), "")).toThrow("EROFS");
    writeFileSync(join(target, "inner", "newer"), "");
  });
});

describeAsRoot("mount namespaces", () => {
  let other: ChildProcess;
  let pid: number;

  beforeEach(async () => {
    other = spawn("unshare", ["--mount", "sh", "-c", "echo ready; exec sleep 1000"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    pid = other.pid ?? 0;
    if (other.stdout !== null) await once(other.stdout, "data");
  });

  afterEach(async () => {
    other.kill("SIGKILL");
    await once(other, "exit");
  });

  it("runs an action in another namespace and returns to the same directory", () => {
    const directory = process.cwd();
    const result = withMountNamespace(pid, () => {
      mount("there", target, "tmpfs", 0);
      writeFileSync(join(target, "file"), "");
      return "result";
    });
    expect(result).toBe("result");
    expect(existsSync(join(target, "file"))).toBe(false);
    expect(existsSync(`/proc/${pid}/root${target}/file`)).toBe(true);
    expect(readFileSync("/proc/thread-self/cwd/package.json", "utf8")).toBe(
      readFileSync(join(directory, "package.json"), "utf8"),
    );
  });

  it("returns if the action throws, and refuses one that is not synchronous", () => {
    const fail = (): void => {
      mount("there", target, "tmpfs", 0);
      throw new Error("the action's own");
    };
    expect(() => withMountNamespace(pid, fail)).toThrow("the action's own");
    expect(() => withMountNamespace(pid, async () => {})).toThrow("must be synchronous");
    expect(mountedAt(target)).toBeUndefined();
    expect(() => withMountNamespace(0x7fffffff, () => {})).toThrow("ENOENT");
  });

  it("can enter again after a new thread shares root and current directory", async () => {
    const seen = () => withMountNamespace(pid, () => readFileSync("/proc/thread-self/mounts", "utf8"));
    const before = seen();
    const worker = new Worker("setInterval(() => {}, 1000)", { eval: true });
    try {
      await once(worker, "online");
      expect(seen()).toBe(before);
    } finally {
      await worker.terminate();
    }
  });

  it("moves a tree to another namespace", () => {
    writeFileSync(join(folder, "file"), "carried");
    const tree = openTree(folder);
    withMountNamespace(pid, () => {
      mount("there", target, "tmpfs", 0);
      mkdirSync(join(target, "point"));
      moveMount(tree, join(target, "point"));
    });
    closeSync(tree);
    expect(readFileSync(`/proc/${pid}/root${target}/point/file`, "utf8")).toBe("carried");
  });
});

describeAsRoot("devices", () => {
  it("makes nodes with large numbers", () => {
    makeBlockNode(join(folder, "block"), 259, 300_000, 0o640);
    makeCharNode(join(folder, "char"), 1, 3, 0o600);
    const block = statSync(join(folder, "block"));
    expect(block.isBlockDevice()).toBe(true);
    expect(block.mode & 0o777).toBe(0o640 & ~process.umask());
    expect(execFileSync("stat", ["-c", "%Hr:%Lr", join(folder, "block")], { encoding: "utf8" })).toBe("259:300000\n");
    expect(statSync(join(folder, "char")).isCharacterDevice()).toBe(true);
  });

  it("attaches a part of a file to a loop device until it is closed", () => {
    const path = join(folder, "disk");
    writeFileSync(path, "");
    truncateSync(path, 4 * mebibyte);
    const loop = attachLoop({ path, readOnly: false, offset: mebibyte, sizeLimit: 2 * mebibyte });
    expect(loop).toMatchObject({ major: 7, device: `/dev/loop${loop.minor}` });
    const backing = `/sys/block/loop${loop.minor}/loop/backing_file`;
    expect(readFileSync(backing, "utf8").trim()).toBe(path);
    expect(readFileSync(`/sys/block/loop${loop.minor}/size`, "utf8").trim()).toBe(String((2 * mebibyte) / 512));
    writeFileSync(loop.device, "first", { flag: "r+", flush: true });
    expect(readFileSync(path).toString("latin1", mebibyte, mebibyte + 5)).toBe("first");
    loop.close();
    loop.close();
    expect(existsSync(backing)).toBe(false);
  });

  it("attaches read-only, many at once, and refuses a missing file", () => {
    const path = join(folder, "disk");
    writeFileSync(path, Buffer.alloc(mebibyte));
    const loops = Array.from({ length: 10 }, () => attachLoop({ path, readOnly: true }));
    expect(new Set(loops.map(({ minor }) => minor)).size).toBe(10);
    for (const { minor } of loops) expect(readFileSync(`/sys/block/loop${minor}/ro`, "utf8")).toBe("1\n");
    for (const loop of loops) loop.close();
    expect(() => attachLoop({ path: join(folder, "none"), readOnly: true })).toThrow("ENOENT");
  });
});

describeAsRoot("a machine's own surroundings", () => {
  it("has a host name, a loopback interface and a root of its own", () => {
    const script = `
      import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
      import { hostname, networkInterfaces } from "node:os";
      import * as calls from ${JSON.stringify(fileURLToPath(new URL("./index.ts", import.meta.url)))};
      calls.setHostName("other-name");
      const before = Object.keys(networkInterfaces());
      calls.bringLoopbackUp();
      calls.mount("root", ${JSON.stringify(target)}, "tmpfs", 0);
      writeFileSync(${JSON.stringify(join(target, "only"))}, "");
      process.chdir(${JSON.stringify(target)});
      calls.pivotRoot(".", ".");
      calls.umount(".", calls.MNT_DETACH);
      console.log(JSON.stringify([hostname(), before, Object.keys(networkInterfaces()), readdirSync("/")]));
    `;
    const { stdout, stderr } = spawnSync(
      "unshare",
      ["--uts", "--net", "--mount", process.execPath, "--input-type=module", "-e", script],
      { encoding: "utf8" },
    );
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual(["other-name", [], ["lo"], ["only"]]);
  });
});
