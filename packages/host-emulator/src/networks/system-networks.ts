import { JoinedNamespace } from "./joined-namespace.ts";
import type { AdoptedNamespace, NetworkService } from "./network-service.ts";

interface Joined {
  readonly path: string;
  readonly namespace: JoinedNamespace;
  readonly adopted: AdoptedNamespace;
}

/**
 * The network namespaces of this machine that systems have joined, by the systems' ids. Objects of the network service
 * that are made of one go with the system, or with whoever asked for them before there was one.
 */
export class SystemNetworks {
  readonly #service: NetworkService;
  readonly #joined = new Map<string, readonly Joined[]>();

  constructor(service: NetworkService) {
    this.#service = service;
  }

  /** The id of the service's namespace that is made of the one at this path; of the same path, the same. */
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

  /** What a guest is to be offered: paths of namespaces by their ids. */
  offered(system: string): ReadonlyMap<string, string> {
    return new Map(this.#of(system).map(({ namespace, adopted }) => [adopted.id, namespace.path]));
  }

  /** Lets go of all that a system has joined. Repeatable. */
  release(system: string): void {
    for (const { namespace, adopted } of this.#of(system)) {
      adopted.release();
      namespace.close();
    }
    this.#joined.delete(system);
  }

  /** Before the network service is closed. */
  close(): void {
    for (const system of [...this.#joined.keys()]) this.release(system);
  }

  #of(system: string): readonly Joined[] {
    return this.#joined.get(system) ?? [];
  }
}
