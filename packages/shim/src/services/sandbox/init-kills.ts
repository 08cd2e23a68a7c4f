import { type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import type { Log } from "../../platform.ts";
import { budgets, endVm, orEndVm } from "../budgets.ts";
import type { ProcessRecord } from "../task/process-record.ts";
import { watchSandbox } from "./sandbox-liveness.ts";
import type { SandboxSlot } from "./sandbox-slot.ts";

/** What enforces kills of init processes. */
export interface InitKillsOptions {
  readonly slot: SandboxSlot;
  readonly clock: Clock;
  readonly log: Log;
}

const sigkill = 9;

/**
 * SIGKILL for a task's init process. A client has no stronger means, so the shim enforces it: when the guest does not
 * answer, or answers without effect, it ends the VM.
 */
export class InitKills {
  readonly #options: InitKillsOptions;
  /** Killed processes, each with a promise that resolves when the VM is being ended because of it. */
  readonly #expected = new WeakMap<ProcessRecord, Promise<void>>();
  /** Counts exits: a guest that ends one process after the other makes progress. */
  #ended = 0;

  constructor(options: InitKillsOptions) {
    this.#options = options;
  }

  async kill(
    taskId: string,
    record: ProcessRecord,
    send: (signalNumber: number) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const killing = record.kill(sigkill, send);
    const vmEnds = this.#expectExit(taskId, record);
    // The response must not come later than the exit: clients then delete the task and close this connection.
    let isVmEnding = false;
    const exited = vmEnds.then(() => {
      isVmEnding = true;
      return record.wait(signal);
    });
    exited.catch(() => {});
    const killed = killing.catch((error: unknown) => {
      // A call that fails because the VM ends has not failed to kill.
      if (!isVmEnding) throw error;
      return exited;
    });
    const answered = Promise.race([killed, exited]);
    if ((await orEndVm(`kill task ${taskId}`, answered, budgets.kill, this.#options)) === "VM ends") {
      await record.wait(signal);
    } else await answered;
  }

  get #patience(): number {
    return budgets.killed[this.#options.slot.present?.os ?? "linux"];
  }

  #expectExit(taskId: string, record: ProcessRecord): Promise<void> {
    const before = this.#expected.get(record);
    if (before !== undefined) return before;
    const vmEnds = Promise.withResolvers<void>();
    this.#expected.set(record, vmEnds.promise);
    void this.#watch(record).then(async (hasEnded) => {
      if (hasEnded) return;
      const why = "container still runs after SIGKILL, ending its VM";
      const ending = endVm(why, { container: taskId, milliseconds: this.#patience }, this.#options);
      vmEnds.resolve();
      await ending;
      // If the VM could not be ended, the next SIGKILL tries again.
      this.#expected.delete(record);
    });
    return vmEnds.promise;
  }

  /** Whether the process ended within the time that the guest has for it. */
  async #watch(record: ProcessRecord): Promise<boolean> {
    const { slot, clock } = this.#options;
    const over = new AbortController();
    const exited = record.wait().then(
      () => true,
      () => true,
    );
    void exited.then(() => {
      this.#ended += 1;
      over.abort();
    });
    const sandbox = slot.present?.sandbox;
    const patience = this.#patience;
    if (sandbox === undefined) return await settlesWithin(exited, patience, clock);
    const bounds = {
      worked: patience,
      silent: patience,
      longest: budgets.killedAtMost,
      // Once the process has ended, the bounds of its client's output apply.
      isEnding: () => slot.isStopping || record.process.hasEnded,
      progress: () => this.#ended,
    };
    const late = watchSandbox({ ping: (until) => sandbox.ping(until) }, bounds, clock, over.signal).then(
      () => false,
      () => true,
    );
    return await Promise.race([exited, late]);
  }
}
