/** Requests to a Windows guest in GCS messages. Field names are the wire names of the GCS protocol. */
import {
  answerObject,
  type Check,
  checkGuid,
  closedObject,
  filledText,
  integer,
  list,
  oneOf,
  optional,
  SchemaError,
  text,
  truth,
} from "../check.ts";
import type { HcnEndpoint, HcnNamespace } from "../hcn/hcn.ts";
import { hcnEndpoint, hcnNamespace } from "../hcn/hcn-checks.ts";
import { lunsPerScsiController } from "../wellknown.ts";
import type { SecurityPolicy, SecurityPolicyFragment } from "./guest.ts";
import { checkWindowsMappedVirtualDisk, type WindowsMappedVirtualDisk } from "./wcow-disk.ts";

/** Settings of a Windows guest's modify request, by resource type. */
export interface WindowsGuestResources {
  /** Its removal names the same fields. */
  readonly MappedVirtualDisk: WindowsMappedVirtualDisk;
  /** Only added; it is removed as a MappedVirtualDisk. */
  readonly MappedVirtualDiskForContainerScratch: WindowsMappedVirtualDisk;
  /** Only added. */
  readonly MappedDirectory: WindowsMappedDirectory;
  readonly CombinedLayers: WindowsCombinedLayers;
  readonly CWCOWCombinedLayers: WindowsConfidentialLayers;
  readonly WCOWBlockCims: WindowsBlockCims;
  readonly NetworkNamespace: HcnNamespace;
  readonly Network: WindowsNetworkModification;
  /** Only updated. */
  readonly HvSocket: HvSocketAddress;
  readonly SecurityPolicy: SecurityPolicy;
  readonly SecurityPolicyFragment: SecurityPolicyFragment;
}

/** How a Windows guest reaches its host. */
export interface HvSocketAddress {
  readonly LocalAddress: string;
  readonly ParentAddress: string;
}

/**
 * A VSMB share that the guest links into its own file system at `ContainerPath`. Source: MappedDirectory of the HCS
 * schema.
 */
export interface WindowsMappedDirectory {
  /** Path of the VSMB share in the guest. */
  readonly HostPath: string;
  readonly ContainerPath: string;
  readonly ReadOnly: boolean;
}

/** A removal has the root only. */
export interface WindowsCombinedLayers {
  /** Where the scratch disk is mounted: it becomes the container's root. */
  readonly ContainerRootPath: string;
  /** Topmost first. */
  readonly Layers?: readonly WindowsLayer[];
  /** Absent for layers of files: guests of Windows Server 2022 refuse the field. */
  readonly FilterType?: "UnionFS";
}

/**
 * A read-only layer in the guest: its GUID, which the file system filter knows it by, and its path. Source: Layer of
 * the HCS schema.
 */
export interface WindowsLayer {
  readonly Id: string;
  readonly Path: string;
}

/** Of a confidential VM, whose policy names the container. */
export interface WindowsConfidentialLayers {
  readonly ContainerID: string;
  readonly CombinedLayers: WindowsCombinedLayers;
}

/** A removal has the volume only. */
export interface WindowsBlockCims {
  /** The merged one first, then topmost to base. */
  readonly BlockCIMs?: readonly WindowsBlockCim[];
  readonly VolumeGUID: string;
  readonly MountFlags?: number;
  readonly ContainerID?: string;
}

/** A block CIM (composite image on a disk of its own): the image's name, and the LUN of the disk. */
export interface WindowsBlockCim {
  readonly CimName: string;
  readonly Lun: number;
}

/**
 * The outer request says Add or Remove. `RequestType` says which step: PreAdd announces the NIC and its endpoint
 * before the host adds the NIC, Add completes the step, and Remove undoes both.
 */
export interface WindowsNetworkModification {
  /** GUID of the NIC. */
  readonly AdapterId: string;
  readonly RequestType: "PreAdd" | "Add" | "Remove";
  readonly Settings?: HcnEndpoint;
}

/**
 * The names of the resources that a Windows guest can be asked to change. Source: guestresource of microsoft/hcsshim.
 */
export type WindowsGuestResourceType = keyof WindowsGuestResources;

/**
 * A modify request to a Windows guest: the resource type goes with its own settings, and only hvsocket addresses are
 * updated.
 */
export type WindowsGuestRequest = {
  readonly [Type in WindowsGuestResourceType]: {
    readonly ResourceType: Type;
    readonly RequestType: Type extends "HvSocket" ? "Update" : "Add" | "Remove";
    readonly Settings: WindowsGuestResources[Type];
  };
}[WindowsGuestResourceType];

/**
 * A step of adding or removing a NIC, as a Windows guest reads it; unknown fields are refused, also in the endpoint.
 */
export const checkWindowsNetworkModification: Check<WindowsNetworkModification> =
  closedObject<WindowsNetworkModification>({
    AdapterId: checkGuid,
    RequestType: oneOf("PreAdd", "Add", "Remove"),
    Settings: optional(hcnEndpoint(closedObject)),
  });

/** A namespace that is added to a Windows guest or removed; unknown fields are refused. */
export const checkWindowsNetworkNamespace: Check<HcnNamespace> = hcnNamespace(closedObject);

/** The fields of an endpoint that a Windows guest knows. The host's network service may be newer than the guest. */
export const endpointForWindowsGuest: Check<HcnEndpoint> = hcnEndpoint(answerObject);

/** The fields of a namespace that a Windows guest knows. */
export const namespaceForWindowsGuest: Check<HcnNamespace> = hcnNamespace(answerObject);

const layer = closedObject<WindowsLayer>({ Id: checkGuid, Path: filledText });

const addedLayers = closedObject<WindowsCombinedLayers>({
  ContainerRootPath: filledText,
  Layers: optional(list(layer)),
  FilterType: optional(oneOf("UnionFS")),
});

const addedCims = closedObject<WindowsBlockCims>({
  BlockCIMs: optional(
    list(closedObject<WindowsBlockCim>({ CimName: filledText, Lun: integer(0, lunsPerScsiController - 1) })),
  ),
  VolumeGUID: checkGuid,
  MountFlags: optional(integer(0, 0xffffffff)),
  ContainerID: optional(text),
});

/** The checks of each resource type's settings, by the request types that the guest knows for it. */
const windowsSettings: {
  readonly [Type in WindowsGuestResourceType]: { readonly [Request in "Add" | "Remove" | "Update"]?: Check<unknown> };
} = {
  MappedVirtualDisk: { Add: checkWindowsMappedVirtualDisk, Remove: checkWindowsMappedVirtualDisk },
  MappedVirtualDiskForContainerScratch: { Add: checkWindowsMappedVirtualDisk },
  MappedDirectory: {
    Add: closedObject<WindowsMappedDirectory>({
      HostPath: filledText,
      ContainerPath: filledText,
      ReadOnly: truth,
    }),
  },
  CombinedLayers: { Add: addedLayers, Remove: addedLayers },
  CWCOWCombinedLayers: {
    Add: closedObject<WindowsConfidentialLayers>({ ContainerID: filledText, CombinedLayers: addedLayers }),
    Remove: closedObject<WindowsConfidentialLayers>({ ContainerID: filledText, CombinedLayers: addedLayers }),
  },
  WCOWBlockCims: { Add: addedCims, Remove: addedCims },
  NetworkNamespace: { Add: checkWindowsNetworkNamespace, Remove: checkWindowsNetworkNamespace },
  Network: { Add: checkWindowsNetworkModification, Remove: checkWindowsNetworkModification },
  HvSocket: { Update: closedObject<HvSocketAddress>({ LocalAddress: checkGuid, ParentAddress: checkGuid }) },
  SecurityPolicy: {
    Add: closedObject<SecurityPolicy>({
      EnforcerType: text,
      EncodedSecurityPolicy: text,
      EncodedUVMReference: optional(text),
      EncodedUVMHashEnvelopeReference: optional(text),
    }),
  },
  SecurityPolicyFragment: {
    Add: closedObject<SecurityPolicyFragment>({ Fragment: filledText, MediaType: optional(text) }),
  },
};

const windowsResourceTypes = Object.keys(windowsSettings) as readonly WindowsGuestResourceType[];

const windowsRequest = closedObject<{
  readonly ResourceType: WindowsGuestResourceType;
  readonly RequestType: "Add" | "Remove" | "Update";
  readonly Settings: object;
}>({
  ResourceType: oneOf(...windowsResourceTypes),
  RequestType: oneOf("Add", "Remove", "Update"),
  Settings: (value, path = "") => {
    if (typeof value !== "object" || value === null) throw new SchemaError(path, "expected an object");
    return value;
  },
});

/** A request as a Windows guest reads it. Throws a SchemaError for a field that the guest does not know. */
export const checkWindowsGuestRequest: Check<WindowsGuestRequest> = (value, path = "") => {
  const request = windowsRequest(value, path);
  const known = windowsSettings[request.ResourceType];
  const check = known[request.RequestType];
  const at = (name: string): string => (path === "" ? name : `${path}.${name}`);
  if (check === undefined) {
    const types = Object.keys(known).join(" or ");
    throw new SchemaError(
      at("RequestType"),
      `expected ${types} of ${request.ResourceType}, got ${request.RequestType}`,
    );
  }
  return { ...request, Settings: check(request.Settings, at("Settings")) } as WindowsGuestRequest;
};
