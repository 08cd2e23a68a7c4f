import { checkGuid, SchemaError } from "@uvm-shim/hcs-schema";
import { abortable, ControllerError, OperationQueue } from "@uvm-shim/lifecycle";
import type { NetworkController } from "./controller.ts";

/** How a caller names the network of a sandbox or a container. */
export type NamedNetwork =
  | { readonly kind: "none" }
  /** An HCN namespace, by its GUID. */
  | { readonly kind: "hcn"; readonly id: string }
  /** A network namespace of Linux, of the host or of the guest. */
  | { readonly kind: "path"; readonly field: string; readonly path: string };

export interface PodNetworkOptions {
  /** The sandbox's namespace; absent where the first container that names one decides. */
  readonly namespaceId?: string | undefined;
  /** The path by which that was named, where it is a network namespace of the host. */
  readonly hostPath?: string | undefined;
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
   * Makes the network ready for a container in this network, or in the pod's. The first sets it up; each later one
   * finds it as the namespace is by now. A setup that failed is taken back, and tried anew with the next container.
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

  /** Undefined: the pod's. A path that a container names is the pod's own, or of the guest, where that is too. */
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
          hostPath === undefined ? "none, since the pod has none of the host's" : `the pod's ${hostPath}`;
        throw invalid(`${field} is ${JSON.stringify(path)}, expected ${expected}`);
      }
    }
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

/** A process of the guest, as callers know it from this shim. */
const guestNamespace = /^\/proc\/[1-9]\d{0,9}\/ns\/net$/;

/**
 * In which network a sandbox or a container is to be: what its specification says at `windows.network.networkNamespace`, or
 * at the path of its Linux network namespace, else what the caller of a sandbox names beside it. InvalidArgument for what
 * cannot be meant.
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
    throw invalid("windows.network.endpointList is not empty, endpoints are taken from the namespace alone");
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
    throw invalid(`${message} another, ${networkNamespace}: expected is one`);
  }
  return { kind: "hcn", id: networkNamespace.toLowerCase() };
}

/** Checked where the specification as a whole is: what is no list of namespaces names none. */
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

/** Of the two names that everybody has for the folder of network namespaces. */
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
