import { checkGuid, SchemaError } from "@uvm-shim/hcs-schema";
import { abortable, ControllerError, OperationQueue } from "@uvm-shim/lifecycle";
import type { NetworkController } from "./controller.ts";

export interface PodNetworkOptions {
  /** The sandbox's namespace; absent where the first container that names one decides. */
  readonly namespaceId?: string | undefined;
  readonly newController: (namespaceId: string) => NetworkController;
}

/** The network that a pod's containers share: set up for the first of them that is in a namespace, until the pod ends. */
export class PodNetwork {
  readonly #options: PodNetworkOptions;
  readonly #queue = new OperationQueue();
  #namespaceId: string | undefined;
  #controller: NetworkController | undefined;

  constructor(options: PodNetworkOptions) {
    this.#options = options;
    this.#namespaceId = options.namespaceId;
  }

  /**
   * Makes the network ready for a container in this namespace, or in the pod's. The first sets it up; each later one
   * finds it as the namespace is by now. A setup that failed is taken back, and tried anew with the next container.
   */
  prepare(namespaceId: string | undefined, signal?: AbortSignal): Promise<void> {
    const prepared = this.#queue.run(async () => {
      const wanted = namespaceId ?? this.#namespaceId;
      if (wanted === undefined) return;
      this.#namespaceId ??= wanted;
      if (wanted !== this.#namespaceId) {
        throw invalid(`windows.network.networkNamespace is ${wanted}, expected the pod's ${this.#namespaceId}`);
      }
      if (this.#controller?.state.kind === "Configured") return await this.#controller.sync(signal);
      // What a setup left behind that could not be taken back then.
      await this.#controller?.teardown(signal);
      this.#controller = this.#options.newController(wanted);
      try {
        await this.#controller.setup(signal);
      } catch (error) {
        // Of a teardown that fails as well, the next attempt or the end of the pod tells.
        await this.#controller.teardown(signal).catch(() => {});
        throw error;
      }
    }, signal);
    return abortable(prepared, signal);
  }

  /** Whether the VM has a NIC of it. */
  get hasInterfaces(): boolean {
    return this.#controller?.nics.some(({ isComplete }) => isComplete) ?? false;
  }

  /** Takes the network down, interrupting what is under way. Repeatable. */
  async teardown(signal?: AbortSignal): Promise<void> {
    await this.#controller?.teardown(signal);
  }
}

/**
 * Which HCN namespace a sandbox or a container is to be in: what its specification says at
 * `windows.network.networkNamespace`, else the one that the caller of a sandbox without a specification names, if that
 * is one of this kind of host. Undefined: it has no network. InvalidArgument for what cannot be meant.
 */
export function networkNamespaceOf(spec: unknown, netnsPath = ""): string | undefined {
  const network = (spec as { windows?: { network?: unknown } | null } | null | undefined)?.windows?.network;
  const { networkNamespace = "", endpointList } = (network ?? {}) as {
    readonly networkNamespace?: unknown;
    readonly endpointList?: unknown;
  };
  if (Array.isArray(endpointList) && endpointList.length > 0) {
    throw invalid("windows.network.endpointList is not empty, endpoints are taken from the namespace alone");
  }
  if (networkNamespace === "") return isGuid(netnsPath) ? netnsPath.toLowerCase() : undefined;
  if (!isGuid(networkNamespace)) {
    const shown = JSON.stringify(networkNamespace)?.slice(0, 64);
    throw invalid(`windows.network.networkNamespace is ${shown}, expected the GUID of an HCN namespace`);
  }
  return networkNamespace.toLowerCase();
}

function isGuid(value: unknown): value is string {
  try {
    checkGuid(value);
    return true;
  } catch (error) {
    if (error instanceof SchemaError) return false;
    throw error;
  }
}

function invalid(message: string): ControllerError {
  return new ControllerError("InvalidArgument", message, { operation: "read", id: "config.json" });
}
