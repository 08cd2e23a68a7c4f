import { type LinuxNetworkAdapter, parseIpPrefix } from "@uvm-shim/hcs-schema";
import { encapOverheadOf } from "./endpoints.ts";
import type { GuestNetworking, LinuxNetworkGuest, Nic } from "./types.ts";

/** What the steps of a Linux guest are made from. */
export interface LinuxNetworkingOptions {
  /** Returns the guest; throws while there is none. Called at each use. */
  readonly guest: () => LinuxNetworkGuest;
  /** The guest's id of the pod's namespace; the host's id when absent. */
  readonly namespaceId?: string;
  /** Whether a container holds the namespace in the guest; no when absent. */
  readonly isHeld?: () => boolean;
  /** Whether NICs after the first get a routing table of their own for traffic from their addresses. */
  readonly policyBasedRouting?: boolean;
}

/**
 * A Linux guest gets a NIC after the host has added it. It needs no request for the namespace: it moves the NIC to the
 * container that holds the namespace of this id, at once or when there is one.
 */
export function linuxNetworking({
  guest,
  namespaceId,
  isHeld = () => false,
  policyBasedRouting = false,
}: LinuxNetworkingOptions): GuestNetworking {
  return {
    namespaceSteps: () => [],
    // The guest would move all NICs again, and fail at the first, which is no longer in its own namespace.
    whyNoMore: (present) =>
      present > 0 && isHeld() ? "a Linux guest accepts no further NIC once a container holds the network" : undefined,
    nicSteps(given, host) {
      if (!guest().supportsNetworkNamespaces) return [host];
      const nic = namespaceId === undefined ? given : { ...given, namespaceId };
      const { namespaceId: NamespaceID, id: ID } = nic;
      return [
        host,
        {
          name: `NIC ${ID} in the guest`,
          acquire: (signal) => guest().addNetworkInterface(linuxAdapter(nic, policyBasedRouting), signal),
          release: async (signal) => await guest().removeNetworkInterface({ NamespaceID, ID }, signal),
        },
      ];
    },
  };
}

function isDefault(prefix: string): boolean {
  return parseIpPrefix(prefix)?.length === 0;
}

/** An endpoint in the form for a Linux guest; empty fields are omitted, as microsoft/hcsshim does. */
export function linuxAdapter({ id, namespaceId, endpoint }: Nic, policyBasedRouting: boolean): LinuxNetworkAdapter {
  const { MacAddress, IpConfigurations = [], Routes = [], Dns = {} } = endpoint;
  const { Domain = "", Search = [], ServerList = [] } = Dns;
  // The field is named a suffix, but holds the guest's whole search list.
  const suffixes = [Domain, ...Search].filter((domain) => domain !== "").map((domain) => domain.toLowerCase());
  const overhead = encapOverheadOf(endpoint);
  return {
    NamespaceID: namespaceId,
    ID: id,
    ...(MacAddress === undefined ? {} : { MacAddress }),
    ...(suffixes.length === 0 ? {} : { DNSSuffix: suffixes.join(",") }),
    ...(ServerList.length === 0 ? {} : { DNSServerList: ServerList.join(",").toLowerCase() }),
    ...(overhead === 0 ? {} : { EncapOverhead: overhead }),
    IPConfigs: IpConfigurations.map(({ IpAddress, PrefixLength }) => ({ IPAddress: IpAddress, PrefixLength })),
    // An endpoint without a gateway has a default route without a next hop, which the guest fails to set up.
    Routes: Routes.filter(({ NextHop = "", DestinationPrefix }) => NextHop !== "" || !isDefault(DestinationPrefix)).map(
      ({ NextHop = "", DestinationPrefix, Metric = 0 }) => ({
        DestinationPrefix,
        ...(NextHop === "" ? {} : { NextHop }),
        ...(Metric === 0 ? {} : { Metric }),
      }),
    ),
    ...(policyBasedRouting ? { PolicyBasedRouting: true } : {}),
  };
}
