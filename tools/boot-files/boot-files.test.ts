/** The boot files that are in the cache, and the program that makes their root. */
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { cacheFolder } from "../../test/src/support/cache.ts";
import { bootFiles, runFromTree } from "./build.ts";
import { debianTree } from "./debian-tree.ts";
import { linkageOf } from "./elf.ts";
import { readModuleInformation } from "./kernel-modules.ts";
import { imagePackages } from "./packages.ts";
import { erofsArguments } from "./root-image.ts";

const place = (name: string): string => join(cacheFolder("boot-files"), "linux-x64", name);
const mostMs = 120_000;

async function imageTool(name: string): Promise<(args: readonly string[]) => Promise<string>> {
  const { folder } = await debianTree(imagePackages, { report: () => undefined });
  return runFromTree(folder, name, (command, args) => mustRun(command, args, { timeoutMs: mostMs }));
}

const underscored = (path: string): string => basename(path, ".ko").replaceAll("-", "_");

/** Modules that nothing in a list of theirs is before, though they depend on it. */
function missingBefore(files: readonly string[], builtIn: ReadonlySet<string>): readonly string[] {
  const loaded = new Set<string>();
  return files.flatMap((file) => {
    const { depends } = readModuleInformation(readFileSync(file));
    const missing = depends.filter((name) => !loaded.has(name) && !builtIn.has(name));
    loaded.add(underscored(file).replace(/^\d\d_/, ""));
    return missing.map((name) => `${basename(file)} needs ${name}`);
  });
}

describeWith(
  "boot files",
  "busybox",
  "root",
)("the boot files", () => {
  it("have an initial root whose modules are loaded after what they need", async () => {
    const folder = mkdtempSync(join(tmpdir(), "initial-root-"));
    await mustRun("busybox", ["cpio", "-i", "-F", place(bootFiles.initialRamDisk)], { directory: folder });
    for (const path of ["bin/busybox", "init", "dev", "proc", "sys", "root", "image"]) {
      expect([path, existsSync(join(folder, path))]).toEqual([path, true]);
    }
    const modules = globSync("modules/*.ko", { cwd: folder }).sort();
    expect(modules.map((path) => underscored(path).slice(3))).toEqual(
      expect.arrayContaining(["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "crc32c_generic", "erofs"]),
    );
    expect(
      missingBefore(
        modules.map((path) => join(folder, path)),
        new Set(),
      ),
    ).toEqual([]);
  });

  it("have a root with all libraries and modules that its own need, and programs that run", async () => {
    const folder = join(mkdtempSync(join(tmpdir(), "guest-root-")), "root");
    await (await imageTool("fsck.erofs"))([`--extract=${folder}`, place(bootFiles.root)]);
    const libraries = join(folder, "usr/lib/x86_64-linux-gnu");
    const programs = ["bin/node", "bin/crun", "sbin/ip", "sbin/mkfs.ext4", "sbin/e2fsck"].map((name) =>
      join(folder, "usr", name),
    );
    for (const file of [...programs, ...globSync("*", { cwd: libraries }).map((name) => join(libraries, name))]) {
      const absent = linkageOf(readFileSync(file)).libraries.filter(
        (name) => !name.startsWith("ld-linux") && !existsSync(join(libraries, name)),
      );
      expect([basename(file), absent]).toEqual([basename(file), []]);
    }
    const [modules = ""] = globSync("usr/lib/modules/*", { cwd: folder });
    const table = readFileSync(join(folder, modules, "modules.dep"), "utf8")
      .trimEnd()
      .split("\n");
    for (const line of table) {
      const [path = "", needed = ""] = line.split(":");
      const names = new Set(needed.trim().split(" ").map(underscored));
      const { depends } = readModuleInformation(readFileSync(join(folder, modules, path)));
      expect([path, depends.filter((name) => !names.has(name))]).toEqual([path, []]);
    }
    for (const name of ["bin", "lib", "lib64", "sbin"]) symlinkSync(`usr/${name}`, join(folder, name));
    mkdirSync(join(folder, "proc"));
    // crun copies itself by its name there.
    const withProc = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
    const inside = (...args: readonly string[]): Promise<string> =>
      mustRun("unshare", ["--mount", "sh", "-c", withProc, folder, ...args]);
    expect(await inside("/usr/bin/node", "--version")).toContain(process.version);
    expect(await inside("/usr/bin/crun", "--version")).toContain("crun version");
    expect(await inside("/usr/sbin/ip", "-V")).toContain("iproute2");
  });

  it("have a root of the same bytes, in whatever order its files are written", async () => {
    const make = await imageTool("mkfs.erofs");
    const names = Array.from({ length: 40 }, (_, index) => `file-${index}`);
    const images = await Promise.all(
      [names, names.toReversed()].map(async (order) => {
        const folder = mkdtempSync(join(tmpdir(), "same-bytes-"));
        const root = join(folder, "root");
        mkdirSync(join(root, "deeper"), { recursive: true });
        for (const name of order) {
          writeFileSync(join(root, name), name.repeat(1000));
          writeFileSync(join(root, "deeper", name), name);
        }
        await make(erofsArguments(join(folder, "image"), root));
        return readFileSync(join(folder, "image"));
      }),
    );
    expect((images[0] as Buffer).equals(images[1] as Buffer)).toBe(true);
  });
});
