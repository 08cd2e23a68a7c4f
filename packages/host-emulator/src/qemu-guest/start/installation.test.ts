import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, expect, it } from "vitest";
import { findInstallation } from "./installation.ts";

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
    const { program, folders, files, libraryFolder } = await findInstallation(join(folder, "qemu"));
    expect([program, folders]).toEqual([join(tree, "usr", "bin", "qemu-system-x86_64"), [tree]]);
    expect(libraryFolder).toBe(join(tree, "usr", "lib", "x86_64-linux-gnu"));
    expect(files).toContain("/lib64/ld-linux-x86-64.so.2");
    expect(files.join()).toMatch(/\/libc\.so\.6/);
  });
});
