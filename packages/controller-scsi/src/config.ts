import type { ScsiAttachment } from "@uvm-shim/hcs-schema";
import { ControllerError, type HostPaths } from "@uvm-shim/lifecycle";
import type { ComparedFields, DiskConfig, Refuse } from "./types.ts";

const attachmentTypes = ["VirtualDisk", "PassThru", "ExtensibleVirtualDisk"] as const;
const providerPrefix = "evd://";
const providerForm = `${providerPrefix}<provider>/<path>`;

/** Refuses what is asked of one disk. */
export function refuseFor(vmId: string, hostPath: string): Refuse {
  return (field, value, accepted) => {
    throw new ControllerError("InvalidArgument", `${field} is ${JSON.stringify(value)}, expected ${accepted}`, {
      operation: "reserve disk",
      id: `${vmId} ${hostPath}`,
    });
  };
}

/** The disk in the one form that it is attached and compared in. Refuses what no host could attach. */
export function checkedDisk(disk: DiskConfig, paths: HostPaths, refuse: Refuse): DiskConfig {
  if (!attachmentTypes.includes(disk.type)) refuse("type", disk.type, `one of ${attachmentTypes.join(", ")}`);
  if (disk.hostPath === "") refuse("hostPath", disk.hostPath, "the path of a disk");
  if (disk.type === "ExtensibleVirtualDisk") return checkedExtensibleDisk(disk, refuse);
  if (disk.extensibleVirtualDiskType !== undefined) {
    refuse("extensibleVirtualDiskType", disk.extensibleVirtualDiskType, `nothing for a ${disk.type}`);
  }
  if (disk.hostPath.startsWith(providerPrefix)) {
    refuse("type", disk.type, `ExtensibleVirtualDisk for a path of the form ${providerForm}`);
  }
  if (!paths.isAbsolute(disk.hostPath)) refuse("hostPath", disk.hostPath, paths.expected);
  return disk;
}

function checkedExtensibleDisk(disk: DiskConfig, refuse: Refuse): DiskConfig {
  const { hostPath, extensibleVirtualDiskType: provider } = disk;
  if (hostPath.startsWith(providerPrefix)) {
    const [, named = "", path = ""] = /^([^/]*)\/?(.*)$/s.exec(hostPath.slice(providerPrefix.length)) ?? [];
    if (named === "" || path === "") refuse("hostPath", hostPath, providerForm);
    if (provider !== undefined && provider !== named) {
      refuse("extensibleVirtualDiskType", provider, `${named}, as hostPath says, or nothing`);
    }
    return { ...disk, hostPath: path, extensibleVirtualDiskType: named };
  }
  if ((provider ?? "") === "") refuse("extensibleVirtualDiskType", provider, "the name of the disk's provider");
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

export function attachmentOf(disk: DiskConfig): ScsiAttachment {
  return {
    Type: disk.type,
    Path: disk.hostPath,
    ReadOnly: disk.readOnly,
    ...(disk.extensibleVirtualDiskType !== undefined && { ExtensibleVirtualDiskType: disk.extensibleVirtualDiskType }),
  };
}

export function comparedDisk(disk: DiskConfig): ComparedFields {
  return {
    readOnly: disk.readOnly,
    type: disk.type,
    extensibleVirtualDiskType: disk.extensibleVirtualDiskType ?? "",
  };
}

/** Refuses a second reservation that wants the same thing otherwise than its holders have it. */
export function refuseDifferences(vmId: string, what: string, held: ComparedFields, wanted: ComparedFields): void {
  const differences = Object.keys(held)
    .map((field) => [field, JSON.stringify(held[field]), JSON.stringify(wanted[field])])
    .filter(([, there, here]) => there !== here)
    .map(([field, there, here]) => `${field} ${there} there, ${here} here`);
  if (differences.length === 0) return;
  throw new ControllerError(
    "FailedPrecondition",
    `already in use with another configuration: ${differences.join("; ")}`,
    { operation: "reserve disk", id: `${vmId} ${what}` },
  );
}
