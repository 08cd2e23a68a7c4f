import { JoinedNamespace } from "./joined-namespace.ts";
import type { AdoptedNamespace, NetworkService } from "./network-service.ts";

interface Joined {
  readonly path: string;
  readonly namespace: JoinedNamespace;
  readonly adopted: AdoptedNamespace;
}

/**
 * Network namespaces of this machine by the systems that joined them. The HCN objects for a namespace are deleted with
 * the system, or with the client that joined it if the system was never created.
 */
export class SystemNetworks {
  readonly #service: NetworkService;
  readonly #joined = new Map<string, readonly Joined[]>();

  constructor(service: NetworkService) {
    this.#service = service;
  }

  /** The id of the HCN namespace for this path. Repeated calls return the same id. */
  async join(system: string, path: string): Promise<string> {
    const known = this.#of(system).find((one) => one.path === path);
    if (known !== undefined) return known.adopted.id;
    const namespace = await JoinedNamespace.open(path);
    try {
      const adopted = await this.#service.adopt(namespace.name, await namespace.interfaces());
      this.#joined.set(system, [...this.#of(system), { path, namespace, adopted }]);
      return adopted.id;
    } catch (error) {
      namespace.close();
      throw error;
    }
  }

  /** Paths of namespaces by HCN id, for the guest. */
  offered(system: string): ReadonlyMap<string, string> {
    return new Map(this.#of(system).map(({ namespace, adopted }) => [adopted.id, namespace.path]));
  }

  /** Releases all namespaces of a system. Idempotent. */
  release(system: string): void {
    for (const { namespace, adopted } of this.#of(system)) {
      adopted.release();
      namespace.close();
    }
    this.#joined.delete(system);
  }

  /** Must be called before the network service is closed. */
  close(): void {
    for (const system of [...this.#joined.keys()]) this.release(system);
  }

  #of(system: string): readonly Joined[] {
    return this.#joined.get(system) ?? [];
  }
}
