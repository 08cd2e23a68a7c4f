import { ControllerError } from "@uvm-shim/lifecycle";
import type { DiskConfig, DiskMountConfig } from "./types.ts";

const attachmentTypes = ["VirtualDisk", "PassThru", "ExtensibleVirtualDisk"] as const;
// The guest protocol carries the partition in a wider field; no partition table has more than this.
const highestPartition = 0xffff;

/** Refuses a disk or mount that no slot could serve, naming the field, the value and what would be accepted. */
export function checkConfig(vmId: string, disk: DiskConfig, mount: DiskMountConfig): void {
  const refuse = (field: string, value: unknown, accepted: string): never => {
    throw new ControllerError("InvalidArgument", `${field} is ${JSON.stringify(value)}, expected ${accepted}`, {
      operation: "reserve disk",
      id: `${vmId} ${disk.hostPath}`,
    });
  };
  if (disk.hostPath === "") refuse("hostPath", disk.hostPath, "the path of a disk");
  if (!attachmentTypes.includes(disk.type)) refuse("type", disk.type, `one of ${attachmentTypes.join(", ")}`);
  if (disk.type === "ExtensibleVirtualDisk") {
    if ((disk.extensibleVirtualDiskType ?? "") === "") {
      refuse("extensibleVirtualDiskType", disk.extensibleVirtualDiskType, "the name of the disk's provider");
    }
  } else if (disk.extensibleVirtualDiskType !== undefined) {
    refuse("extensibleVirtualDiskType", disk.extensibleVirtualDiskType, `nothing for a ${disk.type}`);
  }
  if (!Number.isInteger(mount.partition) || mount.partition < 0 || mount.partition > highestPartition) {
    refuse("partition", mount.partition, `an integer from 0 (the whole disk) to ${highestPartition}`);
  }
}

/** Refuses a second reservation that wants the same disk or partition otherwise than its holders have it. */
export function checkSameDisk(vmId: string, held: DiskConfig, wanted: DiskConfig): void {
  refuseDifferences(vmId, `disk ${held.hostPath}`, diskFields(held), diskFields(wanted));
}

export function checkSameMount(vmId: string, hostPath: string, held: DiskMountConfig, wanted: DiskMountConfig): void {
  refuseDifferences(vmId, `partition ${held.partition} of disk ${hostPath}`, mountFields(held), mountFields(wanted));
}

type Fields = Readonly<Record<string, string | boolean | readonly string[]>>;

function diskFields(disk: DiskConfig): Fields {
  return {
    readOnly: disk.readOnly,
    type: disk.type,
    extensibleVirtualDiskType: disk.extensibleVirtualDiskType ?? "",
  };
}

function mountFields(mount: DiskMountConfig): Fields {
  return {
    readOnly: mount.readOnly,
    encrypted: mount.encrypted ?? false,
    options: (mount.options ?? []).toSorted(),
    filesystem: mount.filesystem ?? "",
    ensureFilesystem: mount.ensureFilesystem ?? false,
    blockDevice: mount.blockDevice ?? false,
  };
}

function refuseDifferences(vmId: string, what: string, held: Fields, wanted: Fields): void {
  const differences = Object.keys(held)
    .map((field) => [field, JSON.stringify(held[field]), JSON.stringify(wanted[field])])
    .filter(([, there, here]) => there !== here)
    .map(([field, there, here]) => `${field} ${there} there, ${here} here`);
  if (differences.length === 0) return;
  throw new ControllerError(
    "FailedPrecondition",
    `already in use with another configuration: ${differences.join("; ")}`,
    {
      operation: "reserve disk",
      id: `${vmId} ${what}`,
    },
  );
}
