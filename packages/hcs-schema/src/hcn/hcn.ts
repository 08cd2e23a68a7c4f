/** Objects of the Host Compute Network service; field names are the wire names of its version-2 schema. */
import type { SchemaVersion } from "../document/document.ts";

export type HcnObjectKind = "network" | "endpoint" | "namespace";

export type HcnNetworkType =
  | "NAT"
  | "ICS"
  | "Internal"
  | "Private"
  | "Transparent"
  | "L2Bridge"
  | "L2Tunnel"
  | "Overlay";

export interface HcnDns {
  readonly Domain?: string;
  readonly Search?: readonly string[];
  readonly ServerList?: readonly string[];
  readonly Options?: readonly string[];
}

export interface HcnRoute {
  /** Empty or unspecified: the destination is on the link. */
  readonly NextHop?: string;
  readonly DestinationPrefix: string;
  readonly Metric?: number;
}

export interface HcnSubnet {
  readonly IpAddressPrefix: string;
  readonly Routes?: readonly HcnRoute[];
}

export interface HcnPolicy {
  readonly Type: string;
  readonly Settings?: unknown;
}

/** What a network is made from. */
export interface HcnNetworkSettings {
  /** GUID; the host makes one up where it is absent. */
  readonly ID?: string;
  readonly Name?: string;
  readonly Type: HcnNetworkType;
  readonly Ipams?: readonly { readonly Type?: string; readonly Subnets?: readonly HcnSubnet[] }[];
  readonly Dns?: HcnDns;
  readonly Policies?: readonly HcnPolicy[];
  readonly SchemaVersion?: SchemaVersion;
}

export interface HcnNetwork extends HcnNetworkSettings {
  readonly ID: string;
}

/** What an endpoint is made from; its network is told beside it. */
export interface HcnEndpointSettings {
  readonly ID?: string;
  readonly Name?: string;
  readonly IpConfigurations?: readonly HcnIpConfiguration[];
  readonly Routes?: readonly HcnRoute[];
  readonly Dns?: HcnDns;
  /** `00-15-5D-xx-xx-xx`. */
  readonly MacAddress?: string;
  readonly Policies?: readonly HcnPolicy[];
  readonly SchemaVersion?: SchemaVersion;
}

export interface HcnIpConfiguration {
  readonly IpAddress: string;
  readonly PrefixLength: number;
}

export interface HcnEndpoint extends HcnEndpointSettings {
  readonly ID: string;
  readonly HostComputeNetwork: string;
  /** The namespace that it is in; absent or empty while it is in none. */
  readonly HostComputeNamespace?: string;
  /** A number, or words; nobody here needs it, but a Windows guest. */
  readonly Flags?: unknown;
  readonly Health?: HcnHealth;
}

/** What the service tells of an object's state, of which a Windows guest alone makes something. */
export interface HcnHealth {
  readonly Data?: unknown;
  readonly Extra?: {
    readonly Resources?: unknown;
    readonly SharedContainers?: unknown;
    readonly LayeredOn?: unknown;
    readonly SwitchGuid?: unknown;
    readonly UtilityVM?: unknown;
    readonly VirtualMachine?: unknown;
  };
}

export type HcnNamespaceType = "Host" | "HostDefault" | "Guest" | "GuestDefault";

export interface HcnNamespaceSettings {
  readonly ID?: string;
  readonly Type?: HcnNamespaceType;
  readonly SchemaVersion?: SchemaVersion;
}

export interface HcnNamespaceResource {
  readonly Type: "Endpoint" | "Container";
  /** Not `ID`, as of everything else of this service: so its schema has it. */
  readonly Data: { readonly Id: string };
}

export interface HcnNamespace extends HcnNamespaceSettings {
  readonly ID: string;
  /** Number of the compartment. */
  readonly NamespaceId?: number;
  readonly Resources?: readonly HcnNamespaceResource[];
}

/** HcnModifyNamespace: adds an endpoint to a namespace, or removes it. */
export interface HcnModifyNamespaceRequest {
  readonly ResourceType: "Endpoint";
  readonly RequestType: "Add" | "Remove";
  readonly Settings: { readonly EndpointId: string };
}

/** Type of the endpoint policy that takes room from the link's MTU for encapsulation. */
export const encapOverheadPolicy = "EncapOverhead";

/** Settings of that policy, in bytes. */
export interface HcnEncapOverhead {
  readonly Overhead?: number;
}
