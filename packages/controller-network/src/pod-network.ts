import { checkGuid, SchemaError } from "@uvm-shim/hcs-schema";
import { abortable, ControllerError, OperationQueue } from "@uvm-shim/lifecycle";
import type { NetworkController, NicView } from "./controller.ts";
import type { NetworkStateKind } from "./lifecycle.ts";

/** The network that a caller names for a sandbox or a container. */
export type NamedNetwork =
  | { readonly kind: "none" }
  /** An HCN namespace, by its GUID. */
  | { readonly kind: "hcn"; readonly id: string }
  /** A Linux network namespace of the host or of the guest. */
  | { readonly kind: "path"; readonly field: string; readonly path: string };

/** What a `PodNetwork` is made from. */
export interface PodNetworkOptions {
  /** The sandbox's HCN namespace; absent where the first container that names one decides. */
  readonly namespaceId?: string | undefined;
  /** The path of the sandbox's network namespace, where the caller named a Linux namespace of the host. */
  readonly hostPath?: string | undefined;
  readonly newController: (namespaceId: string) => NetworkController;
}

/** A network at one moment, for diagnostics. */
export interface NetworkView {
  readonly namespaceId: string;
  readonly state: NetworkStateKind;
  readonly nics: readonly NicView[];
}

/** The network that a pod's containers share: set up for the first of them that names one, until the pod ends. */
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
   * Prepares the network for a container. The first container sets it up, and each later one synchronizes it with the
   * namespace. A failed setup is torn down, and tried again with the next container; a namespace that only the
   * container named binds the pod no longer then.
   */
  prepare(network: NamedNetwork, signal?: AbortSignal): Promise<void> {
    const prepared = this.#queue.run(async () => {
      const wanted = this.#idOf(network) ?? this.#namespaceId;
      if (wanted === undefined) return;
      this.#namespaceId ??= wanted;
      if (wanted !== this.#namespaceId) {
        throw invalid(`windows.network.networkNamespace is ${wanted}, expected the pod's ${this.#namespaceId}`);
      }
      if (this.#controller?.state.kind === "Configured") return await this.#controller.sync(signal);
      // A failed setup may have left something that could not be removed then.
      await this.#controller?.teardown(signal);
      this.#controller = this.#options.newController(wanted);
      try {
        await this.#controller.setup(signal);
      } catch (error) {
        // If this fails too, the next attempt or the end of the pod reports it.
        await this.#controller.teardown(signal).catch(() => {});
        this.#namespaceId = this.#options.namespaceId;
        throw error;
      }
    }, signal);
    return abortable(prepared, signal);
  }

  /** Undefined for the pod's own network: also for the pod's own path, and for a path in the guest. */
  #idOf(network: NamedNetwork): string | undefined {
    switch (network.kind) {
      case "none":
        return undefined;
      case "hcn":
        return network.id;
      case "path": {
        const { hostPath } = this.#options;
        const { field, path } = network;
        if (samePath(path, hostPath) || guestNamespace.test(path)) return undefined;
        const expected =
          hostPath === undefined ? "no path: the pod has no network namespace of the host" : `the pod's ${hostPath}`;
        throw invalid(`${field} is ${JSON.stringify(path)}, expected ${expected}`);
      }
    }
  }

  /** The namespace that all containers share; undefined until one is named. */
  get namespaceId(): string | undefined {
    return this.#namespaceId;
  }

  /** For diagnostics; undefined while there is none. */
  describe(): NetworkView | undefined {
    const controller = this.#controller;
    const namespaceId = this.#namespaceId;
    if (controller === undefined || namespaceId === undefined) return undefined;
    return { namespaceId, state: controller.state.kind, nics: controller.nics };
  }

  /** Whether the VM has a NIC of this network. */
  get hasInterfaces(): boolean {
    return this.#controller?.nics.some(({ isComplete }) => isComplete) ?? false;
  }

  /**
   * Tears the network down, interrupting what is under way. Repeatable. Without a namespace of the sandbox, the next
   * container that names one decides anew.
   */
  async teardown(signal?: AbortSignal): Promise<void> {
    await this.#controller?.teardown(signal);
    this.#namespaceId = this.#options.namespaceId;
  }
}

/** The network namespace of a process in the guest: callers know its pid from this shim. */
const guestNamespace = /^\/proc\/[1-9]\d{0,9}\/ns\/net$/;

/**
 * The network of a sandbox or a container: `windows.network.networkNamespace` of its specification, or the path of its
 * Linux network namespace, else the `netns_path` of the request. InvalidArgument for what is malformed or ambiguous.
 */
export function namedNetworkOf(spec: unknown, netnsPath = ""): NamedNetwork {
  const { windows, linux } = (spec ?? {}) as {
    readonly windows?: { readonly network?: unknown } | null;
    readonly linux?: { readonly namespaces?: unknown } | null;
  };
  const { networkNamespace = "", endpointList } = (windows?.network ?? {}) as {
    readonly networkNamespace?: unknown;
    readonly endpointList?: unknown;
  };
  if (Array.isArray(endpointList) && endpointList.length > 0) {
    throw invalid("windows.network.endpointList is not empty: endpoints are taken from the namespace only");
  }
  if (networkNamespace !== "" && !isGuid(networkNamespace)) {
    const shown = JSON.stringify(networkNamespace)?.slice(0, 64);
    throw invalid(`windows.network.networkNamespace is ${shown}, expected the GUID of an HCN namespace`);
  }
  const ofSandbox = named("netns_path", netnsPath);
  const ofLinux = linuxNetworkOf(linux?.namespaces);
  if (networkNamespace === "") return ofLinux.kind === "none" ? ofSandbox : ofLinux;
  if (ofLinux.kind === "path") {
    const message = `linux.namespaces names the network ${JSON.stringify(ofLinux.path)}, and windows.network.networkNamespace`;
    throw invalid(`${message} names ${networkNamespace}: expected only one of them`);
  }
  return { kind: "hcn", id: networkNamespace.toLowerCase() };
}

/** Malformed namespaces name no network here; the check of the whole specification reports them. */
function linuxNetworkOf(namespaces: unknown): NamedNetwork {
  if (!Array.isArray(namespaces)) return { kind: "none" };
  const index = namespaces.findIndex((namespace) => namespace?.type === "network");
  const path: unknown = namespaces[index]?.path;
  return named(`config.json: linux.namespaces[${index}].path`, typeof path === "string" ? path : "");
}

function named(field: string, path: string): NamedNetwork {
  if (path === "") return { kind: "none" };
  return isGuid(path) ? { kind: "hcn", id: path.toLowerCase() } : { kind: "path", field, path };
}

/** /var/run and /run are the same folder on Linux hosts. */
function samePath(one: string, other: string | undefined): boolean {
  const plain = (path: string | undefined): string | undefined => path?.replace(/^\/var\/run\//, "/run/");
  return plain(one) === plain(other);
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
  return new ControllerError("InvalidArgument", message, { operation: "read", id: "network" });
}
