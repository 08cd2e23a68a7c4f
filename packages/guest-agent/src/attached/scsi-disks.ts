/** The disks of a virtual machine, by what its kernel tells of its SCSI controllers in sysfs. */
import { closeSync, constants, existsSync, openSync, readdirSync, realpathSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { AttachedDisks } from "../storage/storage.ts";

/** Where the kernel has its devices. */
export interface DeviceFolders {
  readonly sys: string;
  readonly dev: string;
}

/** A PCI device's folder is named by its address: domain, bus, slot and function, as hexadecimal digits. */
const pciAddress = /\/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\/virtio\d+\/host\d+\//;

/**
 * Finds a disk of controller C and LUN L as the device 0:0:L of the C-th controller by the addresses on the PCI bus. Each
 * call looks anew, since the kernel names disks in the order in which they come, and again those names that are free.
 */
export function scsiDisks({ sys, dev }: DeviceFolders = { sys: "/sys", dev: "/dev" }): AttachedDisks {
  const folderOf = (controller: number, lun: number): string | undefined => {
    const host = hostsByAddress(sys)[controller];
    return host === undefined ? undefined : join(sys, "bus", "scsi", "devices", `${host}:0:0:${lun}`);
  };
  return {
    find: (controller, lun, partition = 0) => {
      const folder = folderOf(controller, lun);
      const [disk] = folder === undefined ? [] : namesIn(join(folder, "block"));
      if (folder === undefined || disk === undefined) return undefined;
      const name = partition === 0 ? disk : `${disk}${partition}`;
      if (partition !== 0 && !existsSync(join(folder, "block", disk, name))) return undefined;
      const node = join(dev, name);
      return isUsable(node) ? node : undefined;
    },
    // What is attached at the same place next is then a new device for certain, even if the kernel hears of the removal late.
    release: (controller, lun) => {
      const folder = folderOf(controller, lun);
      if (folder === undefined) return;
      try {
        order(join(folder, "delete"));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    },
  };
}

/** The kernel makes the node of a disk after its folders, and lets it be opened later still. */
function isUsable(node: string): boolean {
  try {
    closeSync(openSync(node, constants.O_RDONLY));
    return true;
  } catch (error) {
    if (["ENOENT", "ENXIO", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/** Writes to a file of the kernel that can only be written, and is not to be made. */
function order(path: string): void {
  const file = openSync(path, constants.O_WRONLY);
  try {
    writeSync(file, "1");
  } finally {
    closeSync(file);
  }
}

/** The numbers of the hosts, as the kernel calls controllers, in the order of their PCI addresses. */
function hostsByAddress(sys: string): readonly string[] {
  const hosts = join(sys, "class", "scsi_host");
  const found = namesIn(hosts).flatMap((name) => {
    const address = pciAddress.exec(realpathSync(join(hosts, name)))?.[1];
    return address === undefined ? [] : [{ address, number: name.slice("host".length) }];
  });
  return found.toSorted((one, other) => (one.address < other.address ? -1 : 1)).map(({ number }) => number);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
