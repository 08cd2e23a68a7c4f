import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createWindowsHostFiles } from "./windows.ts";

const granted: string[] = [];
const files = createWindowsHostFiles({ grantVmAccess: async (path) => void granted.push(path) });
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "files-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("gives the kind of a path, through links too", async () => {
  const disk = join(folder, "sandbox.vhdx");
  writeFileSync(disk, "");
  symlinkSync(disk, join(folder, "link"));
  expect(await files.kind(disk)).toBe("file");
  expect(await files.kind(folder)).toBe("directory");
  expect(await files.kind("/dev/null")).toBe("other");
  expect(await files.kind(join(folder, "missing"))).toBeUndefined();
  expect(await files.kind(join(disk, "below"))).toBeUndefined();
  expect(await files.realPath(join(folder, "link"))).toBe(await files.realPath(disk));
});

it.each(["\\\\.\\PhysicalDrive3", "\\\\?\\physicaldrive12"])("recognizes the host's disk %s", async (path) => {
  expect(await files.kind(path)).toBe("block");
  expect(await files.realPath(path)).toBe(path);
});

it("removes files and opens them to VMs, but cannot mount", async () => {
  const disk = join(folder, "disk");
  writeFileSync(disk, "");
  await files.removeFile(disk);
  await files.removeFile(disk);
  await files.grantVmAccess(disk);
  expect(granted).toEqual([disk]);
  await files.unmountAll(folder);
  await expect(files.mountAll([{ type: "overlay" }], folder)).rejects.toMatchObject({
    code: "Unimplemented",
    message: expect.stringContaining("overlay"),
  });
});

it("has no device numbers and no mounts below a folder", async () => {
  expect(await files.blockDevice({ major: 8, minor: 0 }, "/dev/sda")).toBeUndefined();
  expect(await files.hasMountsBelow(folder)).toBe(false);
  expect(await files.showsLaterMounts(folder)).toBe(false);
  expect(await files.mountFlags(folder)).toEqual([]);
});
