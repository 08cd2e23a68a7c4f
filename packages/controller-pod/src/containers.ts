import { ControllerError } from "@uvm-shim/lifecycle";
import type { PodContainer } from "./types.ts";

/**
 * The containers of one pod by id, from the beginning of their creation until nothing is held for them any more; and the
 * pod's own sandbox container, which callers do not see.
 */
export class PodContainers<Request extends { readonly id: string }, Container extends PodContainer<Request>> {
  readonly #podId: string;
  readonly #make: (request: Request) => Container;
  readonly #created = new Map<string, Container>();
  /** Those whose creation is under way. */
  readonly #creating = new Map<string, Container>();
  /** Those whose creation failed and whose resources are not all released yet. */
  readonly #leftovers = new Set<Container>();
  #own: Container | undefined;

  constructor(podId: string, make: (request: Request) => Container) {
    this.#podId = podId;
    this.#make = make;
  }

  /** The pod's own sandbox container. */
  get own(): Container | undefined {
    return this.#own;
  }

  /** All others that may hold something. */
  get others(): readonly Container[] {
    return [...new Set([...this.#created.values(), ...this.#creating.values(), ...this.#leftovers])];
  }

  get created(): readonly Container[] {
    return [...this.#created.values()];
  }

  get(id: string): Container | undefined {
    return this.#created.get(id);
  }

  /** NotFound where no container with this id has been created. */
  require(id: string, operation: string): Container {
    const container = this.#created.get(id);
    if (container !== undefined) return container;
    const details = { operation: `${operation} ${id} of pod`, id: this.#podId };
    throw new ControllerError("NotFound", "no container has this id", details);
  }

  /** AlreadyExists for an id in use. */
  requireFree(id: string): void {
    if (!this.#created.has(id) && !this.#creating.has(id) && this.#own?.id !== id) return;
    const details = { operation: `create container ${id} in pod`, id: this.#podId };
    throw new ControllerError("AlreadyExists", "a container with this id exists already", details);
  }

  /** Creates the pod's own sandbox container. After a failure it is kept, for what it may still hold. */
  async createOwn(request: Request, signal: AbortSignal): Promise<Container> {
    const own = this.#make(request);
    this.#own = own;
    await own.create(request, signal);
    return own;
  }

  /** Creates a container. After a failure its id is free again; what it could not release is kept. */
  async create(request: Request, signal: AbortSignal | undefined): Promise<Container> {
    const { id } = request;
    const container = this.#make(request);
    this.#creating.set(id, container);
    try {
      await container.create(request, signal);
      this.#created.set(id, container);
      return container;
    } catch (error) {
      await this.#discard(container);
      throw error;
    } finally {
      this.#creating.delete(id);
    }
  }

  async #discard(container: Container): Promise<void> {
    this.#leftovers.add(container);
    try {
      await this.giveBack(container);
    } catch {
      // The creation reports its own error, and the end of the pod reports what it cannot release either.
    }
  }

  /** Releases all that a container holds; it is still known by its id. */
  async giveBack(container: Container): Promise<void> {
    await container.delete();
    this.#leftovers.delete(container);
  }

  /** Forgets a container that has been deleted. */
  forget(container: Container): void {
    if (this.#created.get(container.id) === container) this.#created.delete(container.id);
  }
}
