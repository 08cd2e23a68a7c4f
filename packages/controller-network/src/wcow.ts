import { unlessGone } from "@uvm-shim/lifecycle";
import type { GuestNetworking, WindowsNetworkGuest } from "./types.ts";

export interface WindowsNetworkingOptions {
  /** The guest, asked for at each use; throws while there is none. */
  readonly guest: () => WindowsNetworkGuest;
}

/** A Windows guest is given the namespace, and each NIC before and after the host adds it. */
export function windowsNetworking({ guest }: WindowsNetworkingOptions): GuestNetworking {
  return {
    namespaceSteps(namespace) {
      if (!guest().supportsNetworkNamespaces) return [];
      return [
        {
          name: `namespace ${namespace.ID} in the guest`,
          acquire: (signal) => guest().addNetworkNamespace(namespace, signal),
          release: async (signal) => await guest().removeNetworkNamespace(namespace, signal),
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
          acquire: (signal) => guest().preAddNetworkInterface(id, endpoint, signal),
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
