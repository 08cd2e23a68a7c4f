import type { ContainerNamespaces } from "@uvm-shim/controller-container-wcow";
import type { PodNetwork } from "@uvm-shim/controller-network";
import type { HostNetworks } from "@uvm-shim/hcs-bindings";
import { unlessGone } from "@uvm-shim/lifecycle";

type Networks = Pick<HostNetworks, "createNamespace" | "deleteNamespace" | "addNamespaceEndpoint">;

/** Namespaces for containers that bring endpoints of the host and no namespace with them. */
export function ownNamespaces(
  networks: Networks,
  podNetwork: Pick<PodNetwork, "prepare" | "teardown">,
): ContainerNamespaces {
  return {
    async create(endpoints, signal) {
      const { ID: id } = await networks.createNamespace({ Type: "Host" }, signal);
      try {
        for (const endpoint of endpoints) await networks.addNamespaceEndpoint(id, endpoint, signal);
        await podNetwork.prepare({ kind: "hcn", id }, signal);
        return id;
      } catch (error) {
        await unlessGone(() => networks.deleteNamespace(id)).catch(() => {});
        throw error;
      }
    },
    async remove(id, signal) {
      await podNetwork.teardown(signal);
      await networks.deleteNamespace(id, signal);
    },
  };
}
