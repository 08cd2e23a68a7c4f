import { abortable, ControllerError, codeOf, messageOf, OperationQueue } from "@uvm-shim/lifecycle";
import type { PodContainer, PodSize, PodVm } from "./types.ts";

const mebibyte = 2 ** 20;
const setByUpdate = "an update of the pod has set it";

export interface CapacityOptions<Request, Limits> {
  readonly vm: PodVm;
  readonly size: PodSize<Request, Limits>;
  /** Takes a sentence about what is not had as it was asked for. */
  readonly warn: (sentence: string) => void;
}

/** What one container may take, until it is given back. */
export interface Share<Limits> {
  readonly id: string;
  limits: Limits;
  /** One after the other, since one that fails leaves what was before it. */
  readonly updates: OperationQueue;
}

type Holder = Pick<PodContainer<never>, "init" | "update">;

/** What the containers of a pod may take together, for which their VM has to be large enough. It never shrinks. */
export class Capacity<Request extends { readonly id: string }, Limits> {
  readonly #options: CapacityOptions<Request, Limits>;
  readonly #shares = new Set<Share<Limits>>();
  readonly #held = new WeakMap<Holder, Share<Limits>>();
  /** One after the other, so that each finds the VM as the one before has left it. */
  readonly #growth = new OperationQueue();
  #fixedSince: string | undefined;

  constructor(options: CapacityOptions<Request, Limits>) {
    this.#options = options;
  }

  /** Has the VM be large enough for the container that `make` makes, if it takes anything. */
  async admit<Container extends Holder>(
    request: Request,
    make: () => Promise<Container>,
    signal: AbortSignal,
  ): Promise<Container> {
    const limits = this.#options.size.limitsOf(request);
    if (limits === undefined) return await make();
    const share = { id: request.id, limits, updates: new OperationQueue() };
    this.#shares.add(share);
    try {
      await this.#fit(share, undefined, signal);
      const container = await make();
      this.#held.set(container, share);
      // With its last process a container takes nothing any more, though it may stay for long.
      void container.init.wait().then(
        () => this.#shares.delete(share),
        () => {},
      );
      return container;
    } catch (error) {
      this.#shares.delete(share);
      throw error;
    }
  }

  /** Has the VM be large enough before the container is given more; when that fails, the container has what it had. */
  async update(container: Holder, resources: unknown, signal: AbortSignal): Promise<void> {
    const share = this.#held.get(container);
    if (share === undefined) return await container.update(resources, signal);
    await share.updates.run(async () => {
      const before = share.limits;
      share.limits = this.#options.size.updated(before, resources);
      try {
        await this.#fit(share, before, signal);
        await container.update(resources, signal);
      } catch (error) {
        share.limits = before;
        throw error;
      }
    }, signal);
  }

  release(container: Holder): void {
    const share = this.#held.get(container);
    if (share !== undefined) this.#shares.delete(share);
  }

  /** Has somebody say how large the VM is: if `change` changes that, it stays so, whatever is in it. */
  change(change: () => Promise<void>, signal: AbortSignal): Promise<void> {
    return this.#growth.run(async () => {
      const { vm } = this.#options;
      const { memoryInMb } = vm;
      try {
        await change();
      } finally {
        if (vm.memoryInMb !== memoryInMb) this.#fixedSince = setByUpdate;
      }
    }, signal);
  }

  #fit({ id, limits: container }: Share<Limits>, before: Limits | undefined, signal: AbortSignal): Promise<void> {
    return this.#growth.run(async () => {
      const { vm, size, warn } = this.#options;
      const { memoryInMb } = vm;
      const verdict = size.judge({
        containers: [...this.#shares].map(({ limits }) => limits),
        ...{ container, before, memoryInMb, fixedSince: this.#fixedSince },
      });
      if (verdict.kind !== "refused" && verdict.warning !== undefined) warn(`container ${id}: ${verdict.warning}`);
      const operation = before === undefined ? "create container" : "update container";
      switch (verdict.kind) {
        case "enough":
          return;
        case "refused":
          throw new ControllerError("FailedPrecondition", verdict.reason, { operation, id });
        case "grow": {
          const needed = `the VM has ${memoryInMb} MB, and needs ${verdict.memoryInMb} MB`;
          try {
            const limit = verdict.memoryInMb * mebibyte;
            await abortable(vm.update({ resources: { memory: { limit } } }, signal), signal);
          } catch (cause) {
            signal.throwIfAborted();
            const message = `${needed} for the limits of its containers, but does not grow: ${messageOf(cause)}`;
            if (verdict.isDemanded) throw new ControllerError(codeOf(cause), message, { operation, id, cause });
            warn(`container ${id}, to which no memory is promised: ${message}`);
          }
        }
      }
    }, signal);
  }
}
