import type { NamedNetwork } from "@uvm-shim/controller-network";
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { ControllerError, codeOf } from "@uvm-shim/lifecycle";

/** A sandbox's network in HCN. */
export interface SandboxNetwork {
  readonly namespaceId?: string;
  /** The host's network namespace from which the HCN namespace was made. */
  readonly hostPath?: string;
}

/**
 * Joins a VM, before its creation, to the network that the client names. Throws InvalidArgument for a network that cannot
 * be joined: without an error the client would assume that the pod has the namespace's addresses.
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
        const expected = "expected the GUID of an HCN namespace: this host has no other namespaces";
        throw invalid(`${field} is ${JSON.stringify(path)}, ${expected}`, vmId);
      }
      try {
        return { namespaceId: await host.joinNetworkNamespace(vmId, path, signal), hostPath: path };
      } catch (error) {
        const code = codeOf(error);
        if (code !== "NotFound" && code !== "InvalidArgument") throw error;
        throw invalid(
          `cannot join network namespace ${JSON.stringify(path)} (${field}): ${String(error)}`,
          vmId,
          error,
        );
      }
    }
  }
}

function invalid(message: string, id: string, cause?: unknown): ControllerError {
  return new ControllerError("InvalidArgument", message, { operation: "join network of", id, cause });
}
