/** How long a Linux guest may take for each request, how an error names its resource, and how it is undone. */
import { type GuestManners, guestRequestOf, type Procedure, type RequestBody } from "@uvm-shim/gcs-bridge";
import type { LinuxGuestRequest, LinuxGuestResourceType, LinuxMappedVirtualDisk } from "@uvm-shim/hcs-schema";

const second = 1_000;

/** A modify request has the bound of its resource. */
type BoundedProcedure = Exclude<Procedure, "modifySettings">;

/**
 * In milliseconds. hcsshim has one bound of 5 minutes, after which it gives up the bridge and the VM with
 * it; its guest has none, and waits for ever for a disk or device that never appears. These bounds fail one request, and
 * before the shim's clients give up: a kubelet waits for 2 minutes.
 */
export const procedureBounds = {
  negotiateProtocol: 60 * second,
  create: 100 * second,
  start: 60 * second,
  executeProcess: 100 * second,
  // A process may run for ever.
  waitForProcess: undefined,
  signalProcess: 30 * second,
  resizeConsole: 30 * second,
  getProperties: 30 * second,
  shutdownGraceful: 60 * second,
  shutdownForced: 60 * second,
  deleteContainerState: 60 * second,
  dumpStacks: 60 * second,
  // Only Windows guests have services: it is never sent.
  modifyServiceSettings: 30 * second,
} as const satisfies { readonly [P in BoundedProcedure]: number | undefined };

/** Bounds of `modifySettings`, which combines many requests. */
const resourceBounds = {
  MappedVirtualDisk: 60 * second,
  SCSIDevice: 30 * second,
  MappedDirectory: 60 * second,
  CombinedLayers: 60 * second,
  VPCIDevice: 60 * second,
  Network: 60 * second,
  PodCgroupMemoryLimit: 30 * second,
  ContainerConstraints: 30 * second,
  ContainerFreezer: 30 * second,
  SecurityPolicy: 60 * second,
  SecurityPolicyFragment: 60 * second,
} as const satisfies { readonly [Type in LinuxGuestResourceType]: number };

/** The guest first makes a file system, whatever the size of the disk. */
const formattedDisk = 100 * second;
/** The guest first writes the whole disk, for its integrity tags. */
const encryptedDisk = 300 * second;

/** Undefined for a request without a bound. */
export function boundOf<P extends Procedure>(procedure: P, body: RequestBody<P>): number | undefined {
  if (procedure !== "modifySettings") return procedureBounds[procedure as BoundedProcedure];
  const request = guestRequestOf<LinuxGuestRequest>(body);
  if (request.ResourceType !== "MappedVirtualDisk") return resourceBounds[request.ResourceType];
  return request.RequestType === "Add" ? diskBound(request.Settings) : resourceBounds.MappedVirtualDisk;
}

function diskBound({ Encrypted, EnsureFilesystem }: LinuxMappedVirtualDisk): number {
  if (Encrypted) return encryptedDisk;
  return EnsureFilesystem ? formattedDisk : resourceBounds.MappedVirtualDisk;
}

/** Requests about the same resource of the guest have the same name. */
export function resourceOf({ ResourceType, Settings }: LinuxGuestRequest): string {
  switch (ResourceType) {
    case "MappedVirtualDisk":
      return `controller ${Settings.Controller} LUN ${Settings.Lun} partition ${Settings.Partition} at ${Settings.MountPath}`;
    case "SCSIDevice":
      return `controller ${Settings.Controller} LUN ${Settings.Lun}`;
    case "MappedDirectory":
      return `share ${Settings.ShareName} at ${Settings.MountPath}`;
    case "CombinedLayers":
      return `container ${Settings.ContainerID} at ${Settings.ContainerRootPath}`;
    case "VPCIDevice":
      return `device ${Settings.VMBusGUID}`;
    case "Network":
      return `NIC ${Settings.ID} in namespace ${Settings.NamespaceID}`;
    case "PodCgroupMemoryLimit":
    case "ContainerConstraints":
    case "ContainerFreezer":
    case "SecurityPolicy":
    case "SecurityPolicyFragment":
      return "";
  }
}

/** A removal names a resource by the settings that it was added with. */
export const linuxManners: GuestManners<LinuxGuestRequest> = {
  boundOf,
  resourceOf,
  removalOf: (addition) => ({ ...addition, RequestType: "Remove" }),
};
