import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, expect, it } from "vitest";
import { findInstallation, findShareServer } from "./installation.ts";

describeWith("Linux on x64")("an unpacked QEMU", () => {
  const folder = mkdtempSync(join(tmpdir(), "qemu-installation-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("is its folder, and what its programs need of this machine beside", async () => {
    const tree = join(folder, "tree");
    const parts = join(tree, "usr", "lib", "x86_64-linux-gnu", "qemu");
    mkdirSync(join(tree, "usr", "bin"), { recursive: true });
    mkdirSync(parts, { recursive: true });
    copyFileSync("/bin/true", join(tree, "usr", "bin", "qemu-system-x86_64"));
    copyFileSync("/bin/true", join(parts, "accel-tcg-x86_64.so"));
    symlinkSync("tree", join(folder, "qemu"));
    const { program, folders, files, libraryFolder } = await findInstallation({
      unpacked: join(folder, "qemu"),
      isAsked: true,
    });
    expect([program, folders]).toEqual([join(tree, "usr", "bin", "qemu-system-x86_64"), [tree]]);
    expect(libraryFolder).toBe(join(tree, "usr", "lib", "x86_64-linux-gnu"));
    expect(files).toContain("/lib64/ld-linux-x86-64.so.2");
    expect(files.join()).toMatch(/\/libc\.so\.6/);
  });
});

it("says that a folder that somebody has named has no such program", async () => {
  const failing = findShareServer({ unpacked: "/nowhere", isAsked: true });
  await expect(failing).rejects.toThrow("UVM_SHIM_HOST_QEMU: there is no /nowhere/usr/sbin/diod");
});
