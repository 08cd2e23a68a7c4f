import { endpointForWindowsGuest, type HcnNamespace, namespaceForWindowsGuest } from "@uvm-shim/hcs-schema";
import { isGone, unlessGone } from "@uvm-shim/lifecycle";
import type { GuestNetworking, NetworkQueries, WindowsNetworkGuest } from "./types.ts";

/** What the steps of a Windows guest are made from. */
export interface WindowsNetworkingOptions {
  /** Returns the guest; throws while there is none. Called at each use. */
  readonly guest: () => WindowsNetworkGuest;
  /** The host's namespaces. */
  readonly networks: Pick<NetworkQueries, "queryNamespace">;
}

/**
 * A Windows guest gets the namespace, and each NIC before and after the host adds it. Both are sent with the fields
 * that the guest knows only: it refuses what a newer network service adds.
 */
export function windowsNetworking({ guest, networks }: WindowsNetworkingOptions): GuestNetworking {
  /** The namespace's current form, or its last known one when the host no longer has it. */
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
      // The guest removes a NIC as a whole. Where it was completed, that happens before the host removes the NIC.
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
