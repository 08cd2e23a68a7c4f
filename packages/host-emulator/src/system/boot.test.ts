import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type HresultName, hresults, type VirtualMachine } from "@uvm-shim/hcs-schema";
import { afterAll, describe, expect, it } from "vitest";
import { TestFiles } from "../testing/fake-guest.ts";
import { bootOf } from "./boot.ts";

const files = new TestFiles();
afterAll(() => files.remove());

const os = join(files.directory, "Files");
mkdirSync(join(os, "efi", "Microsoft", "boot"), { recursive: true });
const manager = files.write("Files/efi/Microsoft/boot/bootmgfw.efi", "");

const DevicePath = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi";
const BootThis = { DeviceType: "VmbFs", DevicePath } as const;

function machine(Chipset: VirtualMachine["Chipset"], Name = "os"): VirtualMachine {
  return {
    Chipset,
    ComputeTopology: { Memory: { SizeInMB: 64 }, Processor: { Count: 1 } },
    Devices: { VirtualSmb: { Shares: [{ Name, Path: os, Options: {} }] } },
  };
}

describe("the boot of a machine", () => {
  it("is that of Windows from the share of the operating system, whose paths have no case", () => {
    expect(bootOf(machine({ Uefi: { BootThis } }))).toEqual({ kind: "Windows", share: "os", os, manager });
    expect(bootOf(machine({ Uefi: { BootThis } }, "OS"))).toMatchObject({ kind: "Windows", share: "OS" });
  });

  it("is that of a Linux kernel", () => {
    const kernel = { KernelFilePath: files.kernel };
    expect(bootOf(machine({ LinuxKernelDirect: kernel }))).toEqual({ kind: "Linux", kernel });
  });

  it.each<[string, VirtualMachine["Chipset"], HresultName, string]>([
    ["both", { Uefi: { BootThis }, LinuxKernelDirect: { KernelFilePath: files.kernel } }, "E_INVALIDARG", "got both"],
    ["neither", {}, "ERROR_NOT_SUPPORTED", "LinuxKernelDirect: expected, or VirtualMachine.Chipset.Uefi.BootThis"],
    ["firmware that looks for something to boot", { Uefi: {} }, "ERROR_NOT_SUPPORTED", "without BootThis"],
    [
      "another device",
      { Uefi: { BootThis: { ...BootThis, DeviceType: "ScsiDrive" } } },
      "ERROR_NOT_SUPPORTED",
      'DeviceType: expected "VmbFs", got "ScsiDrive"',
    ],
    [
      "another root",
      { Uefi: { BootThis: { ...BootThis, VmbFsRootPath: "/boot" } } },
      "ERROR_NOT_SUPPORTED",
      "VmbFsRootPath: expected none",
    ],
    ["no file", { Uefi: { BootThis: { DeviceType: "VmbFs" } } }, "E_INVALIDARG", "DevicePath: expected a path"],
    [
      "a missing file",
      { Uefi: { BootThis: { ...BootThis, DevicePath: "\\EFI\\other.efi" } } },
      "ERROR_FILE_NOT_FOUND",
      "\\EFI\\other.efi does not exist in the share",
    ],
    [
      "a file outside of the share",
      { Uefi: { BootThis: { ...BootThis, DevicePath: "\\..\\kernel" } } },
      "ERROR_FILE_NOT_FOUND",
      "\\..\\kernel does not exist in the share",
    ],
    [
      "a folder",
      { Uefi: { BootThis: { ...BootThis, DevicePath: "\\EFI" } } },
      "ERROR_FILE_NOT_FOUND",
      "expected a file, got the folder",
    ],
  ])("is refused with %s", (_what, chipset, result, message) => {
    const booting = () => bootOf(machine(chipset));
    expect(booting).toThrow(expect.objectContaining({ hresult: hresults[result] }));
    expect(booting).toThrow(message);
  });

  it("is refused without the share", () => {
    expect(() => bootOf(machine({ Uefi: { BootThis } }, "data"))).toThrow('expected a share "os"');
  });
});
