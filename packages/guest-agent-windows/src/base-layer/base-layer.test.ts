import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { windowsGuestBoot } from "@uvm-shim/host-protocol/guest";
import { mustRun } from "@uvm-shim/test-support/command";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { baseLayer, makeTemplate } from "./base-layer.ts";

describeWith("Linux", "mkfs.ext4")("the disk for what a virtual machine writes", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "base-layer-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is a fixed VHD with an empty ext4", async () => {
    const bytes = 64 * 1024 * 1024;
    const path = join(folder, "SystemTemplate.vhdx");
    await makeTemplate(path, bytes);
    const footer = readFileSync(path).subarray(bytes);
    expect(footer).toHaveLength(512);
    expect(footer.toString("latin1", 0, 8)).toBe("conectix");
    expect(footer.readBigUInt64BE(48)).toBe(BigInt(bytes));
    expect(footer.readUInt32BE(60)).toBe(2);
    const sum = footer.reduce((total, byte, at) => (at >= 64 && at < 68 ? total : total + byte), 0);
    expect(footer.readUInt32BE(64)).toBe(~sum >>> 0);
    expect(await mustRun("dumpe2fs", ["-h", path])).toContain("Filesystem state:         clean");
    expect(statSync(path).blocks * 512).toBeLessThan(bytes);
  });
});

describeWith(
  "Linux on x64",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
  "Wine",
)("the base layer", () => {
  it("has what is looked for in a base layer of Windows", async () => {
    const layer = await baseLayer();
    const files = [
      "Files/windows/system32/cmd.exe",
      "UtilityVM/Files/windows/system32/cmd.exe",
      "UtilityVM/Files/EFI/Microsoft/Boot/bootmgfw.efi",
      "UtilityVM/Files/EFI/Microsoft/Boot/BCD",
      "UtilityVM/Files/EFI/uvm-shim/starter.exe",
      "UtilityVM/SystemTemplate.vhdx",
    ];
    for (const file of files) expect(statSync(join(layer, file)).size).toBeGreaterThan(0);
    expect(() => statSync(join(layer, "Files/users/root"))).toThrow("ENOENT");
    expect(await baseLayer()).toBe(layer);
    const boot = readFileSync(join(layer, "UtilityVM/Files/EFI/Microsoft/Boot/bootmgfw.efi"), "utf8");
    expect(boot.split("\n")[0]).toBe(windowsGuestBoot);
  }, 60_000);
});
