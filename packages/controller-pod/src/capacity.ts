import { abortable, ControllerError, codeOf, messageOf, OperationQueue } from "@uvm-shim/lifecycle";
import type { PodContainer, PodSize, PodVm } from "./types.ts";

const mebibyte = 2 ** 20;
const setByUpdate = "an update of the pod has set it";

/** What a `Capacity` is made from. */
export interface CapacityOptions<Request, Limits> {
  readonly vm: PodVm;
  readonly size: PodSize<Request, Limits>;
  /** Logs a warning about a request that is not fully met. */
  readonly warn: (sentence: string) => void;
}

/** What one container may use, until it is released. */
export interface Share<Limits> {
  readonly id: string;
  limits: Limits;
  /** Updates run one after the other, since a failed one restores the limits before it. */
  readonly updates: OperationQueue;
}

type Holder = Pick<PodContainer<never>, "init" | "update">;

/** Keeps the VM large enough for the limits of the pod's containers. The VM never shrinks. */
export class Capacity<Request extends { readonly id: string }, Limits> {
  readonly #options: CapacityOptions<Request, Limits>;
  readonly #shares = new Set<Share<Limits>>();
  readonly #held = new WeakMap<Holder, Share<Limits>>();
  /** Changes run one after the other, so that each sees the size that the one before has left. */
  readonly #growth = new OperationQueue();
  #fixedSince: string | undefined;

  constructor(options: CapacityOptions<Request, Limits>) {
    this.#options = options;
  }

  /** Grows the VM for the container that `make` creates, if that has a share of it. */
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
      // A stopped container uses nothing, even if it is deleted much later.
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

  /** Grows the VM before the container gets more; after a failure the container keeps its limits. */
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

  /** Runs an explicit change of the VM; a memory size that it sets stays, whatever containers need. */
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
            const message = `${needed} for the limits of its containers, but cannot grow: ${messageOf(cause)}`;
            if (verdict.isDemanded) throw new ControllerError(codeOf(cause), message, { operation, id, cause });
            warn(`container ${id}, which has no guaranteed memory: ${message}`);
          }
        }
      }
    }, signal);
  }
}
