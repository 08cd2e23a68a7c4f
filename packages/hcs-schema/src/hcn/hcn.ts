/** Objects of the Host Compute Network service; field names are the wire names of its version-2 schema. */
import type { SchemaVersion } from "../document/document.ts";

/** The kinds of objects of the network service that a client opens, queries and enumerates here. */
export type HcnObjectKind = "network" | "endpoint" | "namespace";

/**
 * How a network forwards packets: translated (NAT, ICS), within the host (Internal, Private), or on the physical
 * network by one of the switch's modes. Source: NetworkType of the HCN schema.
 */
export type HcnNetworkType =
  | "NAT"
  | "ICS"
  | "Internal"
  | "Private"
  | "Transparent"
  | "L2Bridge"
  | "L2Tunnel"
  | "Overlay";

/**
 * Name resolution of a network or endpoint: the domain, the search list, addresses of servers, and options of
 * resolv.conf. Source: Dns of the HCN schema.
 */
export interface HcnDns {
  readonly Domain?: string;
  readonly Search?: readonly string[];
  readonly ServerList?: readonly string[];
  readonly Options?: readonly string[];
}

/** A route; metrics are 16-bit numbers, of which the lower wins. Source: Route of the HCN schema. */
export interface HcnRoute {
  /** If empty or unspecified, the destination is on the link. */
  readonly NextHop?: string;
  readonly DestinationPrefix: string;
  readonly Metric?: number;
}

/** A subnet that a network gives addresses from, with the routes of its endpoints. Source: Subnet of the HCN schema. */
export interface HcnSubnet {
  readonly IpAddressPrefix: string;
  readonly Routes?: readonly HcnRoute[];
}

/**
 * A policy of a network or endpoint, whose type decides what its settings are. Source: NetworkPolicy and EndpointPolicy
 * of the HCN schema.
 */
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

/** A network as the service answers it. Source: HostComputeNetwork of the HCN schema. */
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

/** An address of an endpoint, with the length of its prefix in bits. Source: IpConfig of the HCN schema. */
export interface HcnIpConfiguration {
  readonly IpAddress: string;
  readonly PrefixLength: number;
}

/**
 * An endpoint as the service answers it: `HostComputeNetwork` is its network's GUID. Source: HostComputeEndpoint of the
 * HCN schema.
 */
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

/**
 * Whose namespace it is: the host's, or one for a guest; the default ones are where containers without a choice are.
 * Source: NamespaceType of the HCN schema.
 */
export type HcnNamespaceType = "Host" | "HostDefault" | "Guest" | "GuestDefault";

/** What creating a namespace takes. Without an id the host chooses one, without a type it is the host's. */
export interface HcnNamespaceSettings {
  readonly ID?: string;
  readonly Type?: HcnNamespaceType;
  readonly SchemaVersion?: SchemaVersion;
}

/**
 * Something that a namespace holds: an endpoint by its GUID, or a container by its id. Source: NamespaceResource of the
 * HCN schema.
 */
export interface HcnNamespaceResource {
  readonly Type: "Endpoint" | "Container";
  /** Spelled `Id` in the schema, unlike every other `ID` of this service. */
  readonly Data: { readonly Id: string };
}

/** A namespace as the service answers it, with what it holds. Source: HostComputeNamespace of the HCN schema. */
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
