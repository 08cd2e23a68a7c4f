import type { NamedNetwork } from "@uvm-shim/controller-network";
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { ControllerError, codeOf } from "@uvm-shim/lifecycle";

/** The network of a sandbox, as HCN knows it. */
export interface SandboxNetwork {
  readonly namespaceId?: string;
  /** The network namespace of the host that HCN's was made of. */
  readonly hostPath?: string;
}

/**
 * Has the VM that is to be created join the network that its caller names. InvalidArgument for what cannot be joined: a
 * caller that is not told would take the namespace's addresses for the pod's.
 */
export async function joinNetwork(
  network: NamedNetwork,
  vmId: string,
  host: Pick<ComputeHost, "joinNetworkNamespace">,
  signal?: AbortSignal,
): Promise<SandboxNetwork> {
  switch (network.kind) {
    case "none":
      return {};
    case "hcn":
      return { namespaceId: network.id };
    case "path": {
      const { field, path } = network;
      if (host.joinNetworkNamespace === undefined) {
        const expected = "expected is the GUID of an HCN namespace, since this host has no others";
        throw invalid(`${field} is ${JSON.stringify(path)}, ${expected}`, vmId);
      }
      try {
        return { namespaceId: await host.joinNetworkNamespace(vmId, path, signal), hostPath: path };
      } catch (error) {
        const code = codeOf(error);
        if (code !== "NotFound" && code !== "InvalidArgument") throw error;
        throw invalid(`${field} is ${JSON.stringify(path)}, which cannot be joined: ${String(error)}`, vmId, error);
      }
    }
  }
}

function invalid(message: string, id: string, cause?: unknown): ControllerError {
  return new ControllerError("InvalidArgument", message, { operation: "join network of", id, cause });
}
