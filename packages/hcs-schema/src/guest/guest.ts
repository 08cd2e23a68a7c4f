/** Requests and settings for a guest in GCS messages. Field names are the wire names of the GCS protocol. */
import type { SchemaVersion } from "../document/document.ts";
import type { OciSpec } from "../oci/oci.ts";
import type { OciLinuxResources } from "../oci/oci-resources.ts";

/**
 * What a guest is to do with a resource. PreAdd tells a Windows guest of a NIC before the host adds it. Source:
 * guestrequest of microsoft/hcsshim.
 */
export type GuestRequestType = "Add" | "Remove" | "PreAdd" | "Update";

/** Settings of a Linux guest's modify request, by resource type. */
export interface LinuxGuestResources {
  readonly MappedVirtualDisk: LinuxMappedVirtualDisk;
  readonly SCSIDevice: GuestScsiDevice;
  readonly MappedDirectory: LinuxMappedDirectory;
  readonly CombinedLayers: LinuxCombinedLayers;
  readonly VPCIDevice: LinuxVpciDevice;
  readonly Network: LinuxNetworkAdapter;
  /** Makes the limit of all containers together follow the VM's memory. */
  readonly PodCgroupMemoryLimit: undefined;
  /** Of the container that the message names. */
  readonly ContainerConstraints: LinuxContainerConstraints;
  /** Of the container that the message names. Only this project's guests know it. */
  readonly ContainerFreezer: LinuxContainerFreezer;
  readonly SecurityPolicy: SecurityPolicy;
  readonly SecurityPolicyFragment: SecurityPolicyFragment;
}

/** Whether all processes of a container are stopped, by the freezer of its control group. */
export interface LinuxContainerFreezer {
  readonly Frozen: boolean;
}

/** The names of the resources that a Linux guest can be asked to change. Source: guestresource of microsoft/hcsshim. */
export type LinuxGuestResourceType = keyof LinuxGuestResources;

/** A modify request to a Linux guest: the resource type goes with its own settings. */
export type LinuxGuestRequest = {
  readonly [Type in LinuxGuestResourceType]: {
    readonly ResourceType: Type;
    readonly RequestType: GuestRequestType;
    readonly Settings: LinuxGuestResources[Type];
  };
}[LinuxGuestResourceType];

/**
 * A SCSI disk, named by controller and LUN, that the guest mounts. With `BlockDev` it becomes a device file instead;
 * `EnsureFilesystem` formats an empty one as `Filesystem`; `Encrypted` puts dm-crypt with a key of the guest's own
 * under it. Source: LCOWMappedVirtualDisk of microsoft/hcsshim.
 */
export interface LinuxMappedVirtualDisk {
  readonly MountPath: string;
  readonly Controller: number;
  readonly Lun: number;
  /** 0: the whole disk. */
  readonly Partition: number;
  readonly ReadOnly: boolean;
  readonly Encrypted?: boolean;
  readonly Options?: readonly string[];
  readonly BlockDev?: boolean;
  readonly EnsureFilesystem?: boolean;
  readonly Filesystem?: string;
  /** If absent, the guest reads the disk's own description of its hash tree. */
  readonly VerityInfo?: LinuxVerityInfo;
}

/** dm-verity of a disk whose hash tree follows its ext4 file system; the fields of the device mapper's table. */
export interface LinuxVerityInfo {
  /** Size of the file system in bytes; the hash tree begins there. */
  readonly Ext4SizeInBytes: number;
  /** Version of the hash tree's format. */
  readonly Version: number;
  /** Hash algorithm, such as sha256. */
  readonly Algorithm: string;
  /** Whether a super block precedes the hash tree. */
  readonly SuperBlock: boolean;
  /** Hexadecimal. */
  readonly RootDigest: string;
  /** Hexadecimal. */
  readonly Salt: string;
  /** Bytes. */
  readonly BlockSize: number;
}

/** A SCSI disk that the guest is to let go before the host detaches it. Source: SCSIDevice of microsoft/hcsshim. */
export interface GuestScsiDevice {
  readonly Controller: number;
  readonly Lun: number;
}

/**
 * A Plan9 share that the guest mounts: where, and by which vsock port and access name it reaches the host's server.
 * Source: LCOWMappedDirectory of microsoft/hcsshim.
 */
export interface LinuxMappedDirectory {
  readonly MountPath: string;
  readonly Port: number;
  readonly ShareName: string;
  readonly ReadOnly: boolean;
}

/**
 * Layers that the guest combines with overlayfs to a container's root. Paths are the guest's. Source:
 * LCOWCombinedLayers of microsoft/hcsshim.
 */
export interface LinuxCombinedLayers {
  readonly ContainerID: string;
  readonly ContainerRootPath: string;
  /** Mount paths of the read-only layers, topmost first. */
  readonly Layers: readonly { readonly Path: string }[];
  /** If empty, the combination is read-only. */
  readonly ScratchPath: string;
}

/** A device that the host has assigned to the VM. Adding it waits until it appears in the guest. */
export interface LinuxVpciDevice {
  readonly VMBusGUID: string;
}

/** How a Linux guest is to set up a NIC. To remove one, its ids suffice. */
export interface LinuxNetworkAdapter {
  /** GUID of the HCN namespace. */
  readonly NamespaceID: string;
  /** GUID of the NIC. */
  readonly ID: string;
  readonly MacAddress?: string;
  /** Domains of the search list, separated by commas. */
  readonly DNSSuffix?: string;
  /** Addresses, separated by commas. */
  readonly DNSServerList?: string;
  /** Number of bytes by which the MTU is lowered. */
  readonly EncapOverhead?: number;
  readonly IPConfigs?: readonly { readonly IPAddress: string; readonly PrefixLength: number }[];
  readonly Routes?: readonly LinuxNetworkRoute[];
  /** Whether each NIC after the first gets a routing table of its own, for packets from its addresses. */
  readonly PolicyBasedRouting?: boolean;
}

/**
 * A route of a NIC: destination as a prefix, gateway (absent: on the link) and metric. Source: LCOWRoute of
 * microsoft/hcsshim.
 */
export interface LinuxNetworkRoute {
  readonly NextHop?: string;
  readonly DestinationPrefix: string;
  readonly Metric?: number;
}

/**
 * New limits of a running container, of which those present replace the old ones. Source: LCOWContainerConstraints of
 * microsoft/hcsshim.
 */
export interface LinuxContainerConstraints {
  readonly Linux: OciLinuxResources;
}

/** The policy that the guest enforces against its host. Encoded fields are base64. */
export interface SecurityPolicy {
  /** "rego" or "open_door"; empty leaves the choice to the guest. */
  readonly EnforcerType: string;
  readonly EncodedSecurityPolicy: string;
  /** Signed statements about the origin of the guest's image, which the guest passes to its containers. */
  readonly EncodedUVMReference?: string;
  readonly EncodedUVMHashEnvelopeReference?: string;
}

/** A signed addition to the guest's security policy. */
export interface SecurityPolicyFragment {
  /** Base64 of a COSE document. */
  readonly Fragment: string;
  /** "application/cose-x509+rego" when absent. */
  readonly MediaType?: string;
}

/** The container configuration of a create message, a JSON string on the wire. */
export interface LinuxHostedContainerSettings {
  readonly SchemaVersion: SchemaVersion;
  readonly OciBundlePath: string;
  readonly OciSpecification: OciSpec;
  readonly ScratchDirPath: string;
}

/** Process parameters of an execute message, a JSON string on the wire. */
export interface LinuxProcessParameters {
  /** Absent for the container's init, which the specification describes. */
  readonly OCIProcess?: NonNullable<OciSpec["process"]>;
  readonly EmulateConsole: boolean;
  readonly CreateStdInPipe: boolean;
  readonly CreateStdOutPipe: boolean;
  readonly CreateStdErrPipe: boolean;
  /** Height and width in characters. */
  readonly ConsoleSize?: readonly [number, number];
  /** For a process of the VM itself (empty container id). */
  readonly CommandArgs?: readonly string[];
  readonly WorkingDirectory?: string;
  readonly Environment?: { readonly [name: string]: string };
}
