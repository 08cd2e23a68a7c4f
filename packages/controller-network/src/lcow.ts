import { type LinuxNetworkAdapter, parseIpPrefix } from "@uvm-shim/hcs-schema";
import { encapOverheadOf } from "./endpoints.ts";
import type { GuestNetworking, LinuxNetworkGuest, Nic } from "./types.ts";

export interface LinuxNetworkingOptions {
  /** The guest, asked for at each use; throws while there is none. */
  readonly guest: () => LinuxNetworkGuest;
  /** By which the guest knows the pod's namespace; the host's own id when absent. */
  readonly namespaceId?: string;
  /** Whether there is a container that holds the namespace in the guest; never when absent. */
  readonly isHeld?: () => boolean;
  /** Whether NICs behind the first route what comes from their addresses by a table of their own. */
  readonly policyBasedRouting?: boolean;
}

/**
 * A Linux guest is told of a NIC when the host has added it. It has no namespace to add: it moves the NIC to the
 * container that holds the one of this id, now or once there is one.
 */
export function linuxNetworking({
  guest,
  namespaceId,
  isHeld = () => false,
  policyBasedRouting = false,
}: LinuxNetworkingOptions): GuestNetworking {
  return {
    namespaceSteps: () => [],
    // It would move all of them again, and fail at the first that is no longer where it came from.
    whyNoMore: (present) =>
      present > 0 && isHeld() ? "a Linux guest takes no further one once a container has its network" : undefined,
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

/** An endpoint as a Linux guest is told of it; what is empty stays away (as microsoft/hcsshim sends it). */
export function linuxAdapter({ id, namespaceId, endpoint }: Nic, policyBasedRouting: boolean): LinuxNetworkAdapter {
  const { MacAddress, IpConfigurations = [], Routes = [], Dns = {} } = endpoint;
  const { Domain = "", Search = [], ServerList = [] } = Dns;
  // What is called a suffix is the guest's whole search list.
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
    // A guest fails to set up a NIC with a default route that leads to nothing, as one without a gateway has it.
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
