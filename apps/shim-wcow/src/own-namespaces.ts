import type { ContainerNamespaces } from "@uvm-shim/controller-container-wcow";
import { type NamedNetwork, namedNetworkOf, type PodNetwork } from "@uvm-shim/controller-network";
import type { HostNetworks } from "@uvm-shim/hcs-bindings";
import { ControllerError, OperationQueue, unlessGone } from "@uvm-shim/lifecycle";
import { hostPathGrammar } from "@uvm-shim/platform-common";

type Networks = Pick<HostNetworks, "createNamespace" | "deleteNamespace" | "addNamespaceEndpoint">;
type Network = Pick<PodNetwork, "namespaceId" | "prepare" | "teardown">;

/**
 * The namespace of containers that name none: the pod's, or one that is made of the endpoints that the first of them
 * brings. What was made is shared by the containers that come while it is there, and goes with the last.
 */
export function ownNamespaces(networks: Networks, podNetwork: Network): ContainerNamespaces {
  const queue = new OperationQueue();
  /** How many containers use each namespace that was made here. */
  const users = new Map<string, number>();

  async function make(endpoints: readonly string[], signal?: AbortSignal): Promise<string> {
    const id = (await networks.createNamespace({ Type: "Host" }, signal)).ID.toLowerCase();
    try {
      for (const endpoint of endpoints) await networks.addNamespaceEndpoint(id, endpoint, signal);
      await podNetwork.prepare({ kind: "hcn", id }, signal);
      users.set(id, 1);
      return id;
    } catch (error) {
      await unlessGone(() => networks.deleteNamespace(id)).catch(() => {});
      throw error;
    }
  }

  return {
    acquire: (endpoints, signal) =>
      queue.run(async () => {
        const id = podNetwork.namespaceId;
        if (id === undefined) return await make(endpoints, signal);
        if (endpoints.length > 0) throw refusedEndpoints(endpoints, id);
        await podNetwork.prepare({ kind: "hcn", id }, signal);
        const count = users.get(id);
        if (count !== undefined) users.set(id, count + 1);
        return id;
      }, signal),
    release: (id, signal) =>
      queue.run(async () => {
        const count = users.get(id);
        if (count === undefined) return;
        if (count === 1) {
          if (podNetwork.namespaceId === id) await podNetwork.teardown(signal);
          await unlessGone(() => networks.deleteNamespace(id, signal));
          users.delete(id);
        } else {
          users.set(id, count - 1);
        }
      }, signal),
  };
}

/**
 * The network that a specification of Windows names. A task that brings endpoints and no namespace gets a namespace of
 * them later. Where containerd is on Linux, its CRI names the pod's namespace by the path, as it names a GUID on Windows.
 */
export function windowsNetworkOf(
  spec: unknown,
  netnsPath = "",
  grammar: "windows" | "posix" = hostPathGrammar,
): NamedNetwork {
  const { windows } = (spec ?? {}) as { readonly windows?: { readonly network?: unknown } | null };
  const { networkNamespace = "", endpointList } = (windows?.network ?? {}) as { readonly [field: string]: unknown };
  const bringsEndpoints = Array.isArray(endpointList) && endpointList.length > 0;
  if (networkNamespace === "" && netnsPath === "" && bringsEndpoints) return { kind: "none" };
  if (grammar === "windows" || typeof networkNamespace !== "string" || !networkNamespace.startsWith("/")) {
    return namedNetworkOf(spec, netnsPath);
  }
  namedNetworkOf({ windows: { network: { endpointList } } });
  return { kind: "path", field: "config.json: windows.network.networkNamespace", path: networkNamespace };
}

function refusedEndpoints(endpoints: readonly string[], id: string): ControllerError {
  const shown = JSON.stringify(endpoints).slice(0, 64);
  const expected = `expected none: the pod's network is the namespace ${id}`;
  const message = `config.json: windows.network.endpointList is ${shown}, ${expected}`;
  return new ControllerError("InvalidArgument", message, { operation: "join network of", id });
}
