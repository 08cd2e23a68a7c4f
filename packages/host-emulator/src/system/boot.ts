/** What a document's machine boots, of what the emulated host can boot. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { VirtualMachine, VirtualMachineType } from "@uvm-shim/hcs-schema";
import type { GuestBoot } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import { realPath } from "./disk-file.ts";

type UefiBootEntry = VirtualMachineType<"UefiBootEntry">;

const chipsetField = "VirtualMachine.Chipset";
const kernelField = `${chipsetField}.LinuxKernelDirect`;
const bootField = `${chipsetField}.Uefi.BootThis`;

/** The share that the firmware calls VmbFs, where the document names no other folder. */
const osShare = "os";

/** Throws HcsFailure. */
export function bootOf({ Chipset: chipset, Devices: devices }: VirtualMachine): GuestBoot {
  const { LinuxKernelDirect: kernel, Uefi: firmware } = chipset;
  if (kernel !== undefined && firmware !== undefined) {
    throw new HcsFailure("E_INVALIDARG", `${chipsetField}: expected LinuxKernelDirect or Uefi, got both`);
  }
  if (kernel !== undefined) {
    realPath(kernel.KernelFilePath, `${kernelField}.KernelFilePath`);
    if (kernel.InitRdPath !== undefined) realPath(kernel.InitRdPath, `${kernelField}.InitRdPath`);
    return { kind: "Linux", kernel };
  }
  if (firmware === undefined) {
    throw new HcsFailure(
      "ERROR_NOT_SUPPORTED",
      `${kernelField}: expected, or ${bootField}, as the emulated host supports no other boot`,
    );
  }
  const devicePath = vmbFsPath(firmware.BootThis);
  const share = devices?.VirtualSmb?.Shares?.find(({ Name }) => Name.toLowerCase() === osShare);
  if (share === undefined) {
    throw new HcsFailure(
      "ERROR_FILE_NOT_FOUND",
      `${bootField}: expected a share "${osShare}" in VirtualMachine.Devices.VirtualSmb.Shares to boot from`,
    );
  }
  const os = realPath(share.Path, "VirtualMachine.Devices.VirtualSmb.Shares");
  return { kind: "Windows", share: share.Name, os, manager: fileIn(os, devicePath) };
}

/** The boot file with its field, for errors. */
export function bootFileOf(boot: GuestBoot): string {
  switch (boot.kind) {
    case "Linux":
      return `${kernelField}.KernelFilePath: unsupported kernel ${boot.kernel.KernelFilePath}`;
    case "Windows":
      return `${bootField}.DevicePath: unsupported boot manager ${boot.manager}`;
  }
}

function vmbFsPath(entry: UefiBootEntry | undefined): string {
  if (entry === undefined) {
    throw new HcsFailure(
      "ERROR_NOT_SUPPORTED",
      `${chipsetField}.Uefi: firmware is not supported by the emulated host without BootThis`,
    );
  }
  const { DeviceType: type, DevicePath: path, VmbFsRootPath: root } = entry;
  if (type !== "VmbFs") {
    throw new HcsFailure(
      "ERROR_NOT_SUPPORTED",
      `${bootField}.DeviceType: expected "VmbFs", got ${JSON.stringify(type)}: the emulated host boots from no other device`,
    );
  }
  if (root !== undefined) {
    const message = `${bootField}.VmbFsRootPath: expected none: the emulated host boots Linux by LinuxKernelDirect only`;
    throw new HcsFailure("ERROR_NOT_SUPPORTED", message);
  }
  if (path === undefined || path === "")
    throw new HcsFailure("E_INVALIDARG", `${bootField}.DevicePath: expected a path`);
  return path;
}

/** A file by its path in a share, which is one of Windows: with backslashes, and without regard to case. */
function fileIn(folder: string, devicePath: string): string {
  let found = folder;
  for (const part of devicePath.split(/[\\/]/).filter((name) => name !== "")) {
    const isBelow = part !== "." && part !== ".." && statSync(found).isDirectory();
    const name = isBelow ? readdirSync(found).find((entry) => entry.toLowerCase() === part.toLowerCase()) : undefined;
    if (name === undefined) {
      const message = `${bootField}.DevicePath: ${devicePath} does not exist in the share "${osShare}" (${folder})`;
      throw new HcsFailure("ERROR_FILE_NOT_FOUND", message);
    }
    found = join(found, name);
  }
  if (statSync(found).isFile()) return found;
  throw new HcsFailure("ERROR_FILE_NOT_FOUND", `${bootField}.DevicePath: expected a file, got the folder ${found}`);
}
