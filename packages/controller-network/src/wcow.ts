import { endpointForWindowsGuest, type HcnNamespace, namespaceForWindowsGuest } from "@uvm-shim/hcs-schema";
import { isGone, unlessGone } from "@uvm-shim/lifecycle";
import type { GuestNetworking, NetworkQueries, WindowsNetworkGuest } from "./types.ts";

export interface WindowsNetworkingOptions {
  /** The guest, asked for at each use; throws while there is none. */
  readonly guest: () => WindowsNetworkGuest;
  /** The host's namespaces. */
  readonly networks: Pick<NetworkQueries, "queryNamespace">;
}

/**
 * A Windows guest is given the namespace, and each NIC before and after the host adds it. Of both it is told what it
 * knows, and nothing that a newer network service adds, which it would refuse.
 */
export function windowsNetworking({ guest, networks }: WindowsNetworkingOptions): GuestNetworking {
  /** As it is by now; as it was, where the host has it no more and the guest still does. */
  async function presentForm(namespace: HcnNamespace, signal?: AbortSignal): Promise<HcnNamespace> {
    try {
      return await networks.queryNamespace(namespace.ID, signal);
    } catch (error) {
      if (isGone(error)) return namespace;
      throw error;
    }
  }

  return {
    namespaceSteps(namespace) {
      if (!guest().supportsNetworkNamespaces) return [];
      return [
        {
          name: `namespace ${namespace.ID} in the guest`,
          acquire: (signal) => guest().addNetworkNamespace(namespaceForWindowsGuest(namespace), signal),
          release: async (signal) => {
            const present = await presentForm(namespace, signal);
            await guest().removeNetworkNamespace(namespaceForWindowsGuest(present), signal);
          },
        },
      ];
    },
    nicSteps({ id, endpoint }, host) {
      let isRemoved = false;
      // The guest forgets a NIC as a whole. It does so before the host removes the NIC, if it was told of its arrival.
      const release = async (signal?: AbortSignal): Promise<void> => {
        if (isRemoved) return;
        await unlessGone(async () => await guest().removeNetworkInterface(id, signal));
        isRemoved = true;
      };
      return [
        {
          name: `announced NIC ${id} in the guest`,
          acquire: (signal) => guest().preAddNetworkInterface(id, endpointForWindowsGuest(endpoint), signal),
          release,
        },
        host,
        {
          name: `NIC ${id} in the guest`,
          acquire: (signal) => guest().addNetworkInterface(id, signal),
          release,
        },
      ];
    },
  };
}
