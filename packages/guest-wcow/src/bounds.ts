/** How long a Windows guest may take for each request, how an error names its resource, and how it is undone. */
import { type GuestManners, guestRequestOf, type Procedure, type RequestBody } from "@uvm-shim/gcs-bridge";
import type { WindowsContainerChange, WindowsGuestRequest, WindowsGuestResourceType } from "@uvm-shim/hcs-schema";

const second = 1_000;

/** Every request that is sent to a Windows guest as a modification: of the VM, or of a container. */
export type WindowsModification = WindowsGuestRequest | WindowsContainerChange;

/** In milliseconds. The reference's host has one bound of 5 minutes, after which it gives up the VM. */
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
  shutdownGraceful: 30 * second,
  shutdownForced: 30 * second,
  deleteContainerState: 60 * second,
  dumpStacks: 60 * second,
  modifyServiceSettings: 30 * second,
} as const satisfies { readonly [P in Exclude<Procedure, "modifySettings">]: number | undefined };

/** Bounds of `modifySettings`, which combines many requests. */
const resourceBounds = {
  MappedVirtualDisk: 60 * second,
  // The guest first makes a file system, whatever the size of the disk.
  MappedVirtualDiskForContainerScratch: 100 * second,
  MappedDirectory: 60 * second,
  CombinedLayers: 60 * second,
  CWCOWCombinedLayers: 60 * second,
  WCOWBlockCims: 60 * second,
  NetworkNamespace: 60 * second,
  Network: 60 * second,
  HvSocket: 30 * second,
  SecurityPolicy: 60 * second,
  SecurityPolicyFragment: 60 * second,
} as const satisfies { readonly [Type in WindowsGuestResourceType]: number };

const containerChange = 60 * second;

/** Undefined for a request without a bound. */
export function boundOf<P extends Procedure>(procedure: P, body: RequestBody<P>): number | undefined {
  if (procedure === "modifySettings") {
    const request = guestRequestOf<WindowsModification>(body);
    return "ResourcePath" in request ? containerChange : resourceBounds[request.ResourceType];
  }
  // Server Core answers an event only when the process that got it has ended.
  if (procedure === "signalProcess" && "Options" in body) return undefined;
  return procedureBounds[procedure as Exclude<Procedure, "modifySettings">];
}

/** Requests about the same resource of the guest have the same name. */
export function resourceOf(request: WindowsModification): string {
  if ("ResourcePath" in request) return "";
  const { ResourceType, Settings } = request;
  switch (ResourceType) {
    case "MappedVirtualDisk":
    case "MappedVirtualDiskForContainerScratch":
      return `LUN ${Settings.Lun} at ${Settings.ContainerPath}`;
    case "MappedDirectory":
      return `directory ${Settings.HostPath} at ${Settings.ContainerPath}`;
    case "CombinedLayers":
      return `root ${Settings.ContainerRootPath}`;
    case "CWCOWCombinedLayers":
      return `container ${Settings.ContainerID} at ${Settings.CombinedLayers.ContainerRootPath}`;
    case "WCOWBlockCims":
      return `volume ${Settings.VolumeGUID}`;
    case "NetworkNamespace":
      return `namespace ${Settings.ID}`;
    case "Network":
      return `NIC ${Settings.AdapterId}`;
    case "HvSocket":
    case "SecurityPolicy":
    case "SecurityPolicyFragment":
      return "";
  }
}

/** Undefined for what a Windows guest cannot remove. */
export function removalOf(addition: WindowsModification): WindowsModification | undefined {
  if ("ResourcePath" in addition) return undefined;
  const RequestType = "Remove";
  switch (addition.ResourceType) {
    case "MappedVirtualDisk":
    case "MappedVirtualDiskForContainerScratch":
      return { ResourceType: "MappedVirtualDisk", RequestType, Settings: addition.Settings };
    case "CombinedLayers": {
      const { ContainerRootPath } = addition.Settings;
      return { ResourceType: "CombinedLayers", RequestType, Settings: { ContainerRootPath } };
    }
    case "CWCOWCombinedLayers": {
      const { ContainerID, CombinedLayers } = addition.Settings;
      const { ContainerRootPath } = CombinedLayers;
      const Settings = { ContainerID, CombinedLayers: { ContainerRootPath } };
      return { ResourceType: "CWCOWCombinedLayers", RequestType, Settings };
    }
    case "WCOWBlockCims": {
      const { VolumeGUID } = addition.Settings;
      return { ResourceType: "WCOWBlockCims", RequestType, Settings: { VolumeGUID } };
    }
    case "NetworkNamespace":
      return { ResourceType: "NetworkNamespace", RequestType, Settings: addition.Settings };
    case "Network": {
      const { AdapterId } = addition.Settings;
      return { ResourceType: "Network", RequestType, Settings: { AdapterId, RequestType } };
    }
    case "MappedDirectory":
    case "HvSocket":
    case "SecurityPolicy":
    case "SecurityPolicyFragment":
      return undefined;
  }
}

/** How Windows guests are asked: bounds of requests, names of resources, and what undoes an addition. */
export const windowsManners: GuestManners<WindowsModification> = { boundOf, resourceOf, removalOf };
