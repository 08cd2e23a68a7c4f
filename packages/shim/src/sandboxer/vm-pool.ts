import { abortable, type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import type { Log } from "../platform.ts";
import type { PlannedVm, ReadyVm, ReadyVms } from "../ready-vms.ts";
import type { StateLine } from "../services/state-dump.ts";
import { BootPause } from "./boot-pause.ts";
import type { VmIds } from "./vm-ids.ts";

/** What a pool is made from. */
export interface VmPoolOptions {
  /** How many VMs wait at most. */
  readonly size: number;
  /** How much memory they have at most, all together. */
  readonly memoryInMb: number;
  readonly plan: () => Promise<PlannedVm>;
  /** Ends what is left of a VM. Idempotent. */
  readonly endLeft: (id: string) => Promise<void>;
  /** Survives this process. */
  readonly ids: VmIds;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly log: Log;
}

/** A VM that dies younger than this was not well from the start. */
const settledMilliseconds = 60_000;
/** How long the end of all waiting VMs may take. */
const closeMilliseconds = 5_000;

/** A VM that waits, or that a pod is looking at. */
interface Waiting {
  readonly vm: ReadyVm;
  readonly memoryInMb: number;
  readonly since: number;
  hasEnded: boolean;
}

/**
 * VMs that are booted before there are pods for them. A pod that takes one is its owner; nothing comes back. The pool
 * fills itself, one VM at a time, while no pod is being made.
 */
export class VmPool {
  readonly #options: VmPoolOptions;
  readonly #pause: BootPause;
  readonly #closing = new AbortController();
  #waiting: readonly Waiting[] = [];
  /** Those that nobody gets any more. */
  readonly #ending = new Set<ReadyVm>();
  #filling: Promise<unknown> | undefined;
  /** Boots in a row that have failed. */
  #failures = 0;
  /** VMs in a row that have died while they waited. */
  #deaths = 0;
  #hasTakenUp = false;
  #isMemoryReported = false;

  constructor(options: VmPoolOptions) {
    this.#options = options;
    this.#pause = new BootPause(options.clock);
  }

  /** Ends what an earlier process has left, and begins to fill. */
  async begin(): Promise<void> {
    const { ids, endLeft, log } = this.#options;
    const left = await ids.read();
    for (const id of left) {
      try {
        await endLeft(id);
        await ids.remove(id);
        log.log("warn", "ended a VM that waited with an earlier sandboxer", { vm: id });
      } catch (error) {
        // It stays on the list for the next sandboxer.
        log.log("error", "cannot end a VM of an earlier sandboxer", { vm: id, error: describeError(error) });
      }
    }
    this.#hasTakenUp = true;
    this.#fill();
  }

  get size(): number {
    return this.#waiting.length;
  }

  describe(): readonly StateLine[] {
    const { size, clock } = this.#options;
    const now = clock.now().getTime();
    const fields = {
      ...{ vms: this.#waiting.map(({ vm }) => vm.id).join(","), ready: this.size, of: size },
      ...{ booting: this.#filling !== undefined, failures: this.#failures, deaths: this.#deaths },
      seconds: this.#waiting.map(({ since }) => Math.round((now - since) / 1000)).join(","),
    };
    return [{ message: "VMs that wait for pods", fields }];
  }

  /** Nothing is booted while a pod is being made, nor shortly after. */
  during<T>(work: () => Promise<T>): Promise<T> {
    return this.#pause.during(work);
  }

  /** The VMs as one pod sees them, whose log says what it got. */
  forPod(log: Log): ReadyVms {
    return { take: (refusal) => this.#take(refusal, log) };
  }

  async #take(refusal: (vm: ReadyVm) => string | undefined, log: Log): Promise<ReadyVm | undefined> {
    this.#pause.extend();
    let why = "none is ready";
    const refused = new Set<Waiting>();
    for (;;) {
      const next = this.#waiting.find((one) => !refused.has(one));
      if (next === undefined || this.#isClosed) break;
      const reason = refusal(next.vm);
      if (reason !== undefined) {
        why = reason;
        refused.add(next);
        continue;
      }
      // Nobody else may take it while it is looked at.
      this.#waiting = this.#waiting.filter((one) => one !== next);
      this.#fill();
      const trouble = await this.#troubleOf(next);
      if (trouble === undefined) {
        this.#deaths = 0;
        const waited = this.#options.clock.now().getTime() - next.since;
        log.log("info", "took a VM that was ready", { vm: next.vm.id, waitedMs: waited, left: this.size });
        return next.vm;
      }
      this.#discard(next, trouble);
    }
    log.log("info", "boots a VM of its own", { why });
    return undefined;
  }

  /** Why a VM that is not in the pool any more must not be given out. */
  async #troubleOf(one: Waiting): Promise<string | undefined> {
    let trouble: string | undefined;
    try {
      if (!(await one.vm.isCurrent())) trouble = "its boot files have changed";
    } catch (error) {
      trouble = `its boot files cannot be looked at: ${describeError(error)}`;
    }
    if (one.hasEnded) return "it has ended";
    if (this.#isClosed) return "the sandboxer is ending";
    return trouble;
  }

  #discard({ vm }: Waiting, why: string): void {
    this.#options.log.log("info", "a VM that was ready is not used", { vm: vm.id, why });
    void this.#end(vm);
  }

  /** Never rejects: what does not end is tried again when the pool is closed. */
  async #end(vm: ReadyVm): Promise<void> {
    this.#ending.add(vm);
    try {
      await vm.end();
      this.#ending.delete(vm);
    } catch (error) {
      const { log } = this.#options;
      log.log("error", "cannot end a VM that was ready", { vm: vm.id, error: describeError(error) });
    }
  }

  /** Does nothing while it is under way: it goes on until there is enough. */
  #fill(): void {
    if (!this.#hasTakenUp || this.#isClosed || this.#filling !== undefined || this.size >= this.#options.size) return;
    this.#filling = this.#fillUp().then((isFull) => {
      this.#filling = undefined;
      // One may have been taken in the last moment.
      if (isFull) this.#fill();
    });
  }

  async #fillUp(): Promise<boolean> {
    const { signal } = this.#closing;
    while (this.size < this.#options.size) {
      // Rejects only when the pool is closed.
      const mayBoot = await this.#pause.over(this.#failures + this.#deaths, signal).then(
        () => true,
        () => false,
      );
      if (!mayBoot || !(await this.#bootOne(signal))) return false;
    }
    return true;
  }

  /** Whether there may be another; a failure is one of those that are tried again. */
  async #bootOne(signal: AbortSignal): Promise<boolean> {
    const { plan, ids, newId, log, clock, size, memoryInMb: most } = this.#options;
    let id: string | undefined;
    try {
      const { memoryInMb, boot } = await abortable(plan(), signal);
      const used = this.#waiting.reduce((sum, one) => sum + one.memoryInMb, 0);
      if (used + memoryInMb > most) {
        if (!this.#isMemoryReported) {
          this.#isMemoryReported = true;
          log.log("warn", "fewer VMs are kept ready than configured: their memory is limited", {
            ...{ ready: this.size, of: size, memoryInMb: most, eachInMb: memoryInMb },
          });
        }
        return false;
      }
      id = newId();
      await abortable(ids.add(id), signal);
      const vm = await boot(id, signal);
      this.#add({ vm, memoryInMb, since: clock.now().getTime(), hasEnded: false });
    } catch (error) {
      if (id !== undefined) await this.#forget(id);
      if (signal.aborted) return false;
      this.#failures++;
      const level = this.#failures === 1 ? "warn" : "debug";
      log.log(level, "cannot boot a VM ahead, and tries again", { error: describeError(error) });
    }
    return true;
  }

  #add(one: Waiting): void {
    const { log, size } = this.#options;
    if (this.#failures > 0) log.log("info", "VMs are booted ahead again", { failures: this.#failures });
    this.#failures = 0;
    this.#waiting = [...this.#waiting, one];
    log.log("info", "a VM is ready", { vm: one.vm.id, ready: this.size, of: size });
    if (this.size === size) log.log("info", "warm pool is full", { size });
    void one.vm.ended.then((reason) => this.#onEnded(one, reason));
  }

  #onEnded(one: Waiting, reason: string): void {
    one.hasEnded = true;
    const { clock, log, ids } = this.#options;
    const { id } = one.vm;
    ids
      .remove(id)
      .catch((error: unknown) =>
        log.log("warn", "cannot take a VM off the list", { vm: id, error: describeError(error) }),
      );
    if (!this.#waiting.includes(one)) return;
    this.#waiting = this.#waiting.filter((other) => other !== one);
    if (this.#isClosed) return;
    const age = clock.now().getTime() - one.since;
    this.#deaths = age < settledMilliseconds ? this.#deaths + 1 : 1;
    log.log(this.#deaths === 1 ? "warn" : "debug", "a VM that waited for a pod has ended", { vm: id, reason });
    this.#discard(one, "it has ended");
    this.#fill();
  }

  /** After a boot that has failed. */
  async #forget(id: string): Promise<void> {
    const { endLeft, ids, log } = this.#options;
    try {
      await endLeft(id);
      await ids.remove(id);
    } catch (error) {
      log.log("warn", "cannot end what is left of a VM", { vm: id, error: describeError(error) });
    }
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Boots no more, and ends all that wait, within a bound. Throws if some did not end; can be repeated. */
  async close(): Promise<void> {
    const { clock } = this.#options;
    this.#closing.abort(new ShimError("Cancelled", "the sandboxer is ending"));
    const endAll = async (again: Iterable<ReadyVm>): Promise<void> => {
      const waiting = this.#waiting.map(({ vm }) => vm);
      this.#waiting = [];
      await Promise.all([...again, ...waiting].map((vm) => this.#end(vm)));
    };
    // A boot that hangs keeps no other VM.
    const end = async (): Promise<void> => {
      await Promise.all([endAll([...this.#ending]), this.#filling?.then(() => endAll([]))]);
    };
    const isInTime = await settlesWithin(end(), closeMilliseconds, clock);
    if (isInTime && this.#ending.size === 0) return;
    const ids = [...this.#ending].map(({ id }) => id).join(", ");
    throw new ShimError("Unavailable", `VMs that were ready have not ended: ${ids}`);
  }
}
