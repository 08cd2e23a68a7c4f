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
  /** If empty or unspecified, the destination is on the link. */
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

/** Settings of a network. */
export interface HcnNetworkSettings {
  /** GUID; if absent, the host chooses one. */
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

/** Settings of an endpoint, except for its network, which creating it takes separately. */
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
  /** The endpoint's namespace; absent or empty while it has none. */
  readonly HostComputeNamespace?: string;
  /** A number or text, for a Windows guest. */
  readonly Flags?: unknown;
  readonly Health?: HcnHealth;
}

/** State of an object, for a Windows guest. */
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
  /** Spelled `Id` in the schema, unlike every other `ID` of this service. */
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

/** Type of the endpoint policy that reserves a part of the link's MTU for encapsulation. */
export const encapOverheadPolicy = "EncapOverhead";

/** Settings of that policy, in bytes. */
export interface HcnEncapOverhead {
  readonly Overhead?: number;
}
