import type { ScsiAttachment } from "@uvm-shim/hcs-schema";
import { type HostPaths, refusing } from "@uvm-shim/lifecycle";
import type { ComparedFields, DiskConfig, InvalidField } from "./types.ts";

const attachmentTypes = ["VirtualDisk", "PassThru", "ExtensibleVirtualDisk"] as const;
const providerPrefix = "evd://";
const providerForm = `${providerPrefix}<provider>/<path>`;

/** Makes the errors that refuse a request for one disk. */
export function invalidFieldOf(vmId: string, hostPath: string): InvalidField {
  const refuse = refusing("reserve disk", `${vmId} ${hostPath}`);
  return (field, value, expected) =>
    refuse("InvalidArgument", `${field} is ${JSON.stringify(value)}, expected ${expected}`);
}

/** The disk in the normal form that is attached and compared. Refuses what no host could attach. */
export function checkedDisk(disk: DiskConfig, paths: HostPaths, invalid: InvalidField): DiskConfig {
  if (!attachmentTypes.includes(disk.type)) throw invalid("type", disk.type, `one of ${attachmentTypes.join(", ")}`);
  if (disk.hostPath === "") throw invalid("hostPath", disk.hostPath, "the path of a disk");
  if (disk.type === "ExtensibleVirtualDisk") return checkedExtensibleDisk(disk, invalid);
  if (disk.extensibleVirtualDiskType !== undefined) {
    throw invalid("extensibleVirtualDiskType", disk.extensibleVirtualDiskType, `nothing for a ${disk.type}`);
  }
  if (disk.hostPath.startsWith(providerPrefix)) {
    throw invalid("type", disk.type, `ExtensibleVirtualDisk for a path of the form ${providerForm}`);
  }
  if (!paths.isAbsolute(disk.hostPath)) throw invalid("hostPath", disk.hostPath, paths.expected);
  return disk;
}

function checkedExtensibleDisk(disk: DiskConfig, invalid: InvalidField): DiskConfig {
  const { hostPath, extensibleVirtualDiskType: provider } = disk;
  if (hostPath.startsWith(providerPrefix)) {
    const [, named = "", path = ""] = /^([^/]*)\/?(.*)$/s.exec(hostPath.slice(providerPrefix.length)) ?? [];
    if (named === "" || path === "") throw invalid("hostPath", hostPath, providerForm);
    if (provider !== undefined && provider !== named) {
      throw invalid("extensibleVirtualDiskType", provider, `${named}, as hostPath says, or nothing`);
    }
    return { ...disk, hostPath: path, extensibleVirtualDiskType: named };
  }
  if ((provider ?? "") === "") throw invalid("extensibleVirtualDiskType", provider, "the name of the disk's provider");
  return disk;
}

/** A disk of the VM's document. */
export function diskOf({ Type, Path, ReadOnly = false, ExtensibleVirtualDiskType }: ScsiAttachment): DiskConfig {
  return {
    hostPath: Path,
    readOnly: ReadOnly,
    type: Type,
    ...(ExtensibleVirtualDiskType !== undefined && { extensibleVirtualDiskType: ExtensibleVirtualDiskType }),
  };
}

/** What the host is asked to attach. */
export function attachmentOf(disk: DiskConfig): ScsiAttachment {
  return {
    Type: disk.type,
    Path: disk.hostPath,
    ReadOnly: disk.readOnly,
    ...(disk.extensibleVirtualDiskType !== undefined && { ExtensibleVirtualDiskType: disk.extensibleVirtualDiskType }),
  };
}

/** What all users of a disk must want alike. */
export function comparedDisk(disk: DiskConfig): ComparedFields {
  return {
    readOnly: disk.readOnly,
    type: disk.type,
    extensibleVirtualDiskType: disk.extensibleVirtualDiskType ?? "",
  };
}

/** Refuses a second reservation of the same thing with other settings than its holders have. */
export function refuseDifferences(vmId: string, what: string, held: ComparedFields, wanted: ComparedFields): void {
  const differences = Object.keys(held)
    .map((field) => [field, JSON.stringify(held[field]), JSON.stringify(wanted[field])])
    .filter(([, heldValue, wantedValue]) => heldValue !== wantedValue)
    .map(([field, heldValue, wantedValue]) => `${field} is ${wantedValue}, expected ${heldValue}`);
  if (differences.length === 0) return;
  const refuse = refusing("reserve disk", `${vmId} ${what}`);
  throw refuse("FailedPrecondition", `already in use with another configuration: ${differences.join("; ")}`);
}
