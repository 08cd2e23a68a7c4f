import { type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import type { Log } from "../../platform.ts";
import type { ProcessRecord } from "../../program/process-record.ts";
import { budgets, endVm, orEndVm } from "../budgets.ts";
import { watchSandbox } from "./sandbox-pulse.ts";
import type { SandboxSlot } from "./sandbox-slot.ts";

export interface LastKillsOptions {
  readonly slot: SandboxSlot;
  readonly clock: Clock;
  readonly log: Log;
}

const sigkill = 9;

/**
 * SIGKILL for the init of a task, after which there is nothing that a client could try: so it is kept. A guest that does
 * not answer, or answers and does nothing, loses its VM.
 */
export class LastKills {
  readonly #options: LastKillsOptions;
  /** Resolves when the VM is being ended for the process's sake. */
  readonly #expected = new WeakMap<ProcessRecord, Promise<void>>();
  /** How many have ended. A guest that ends one after the other is not idle. */
  #ended = 0;

  constructor(options: LastKillsOptions) {
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
    // With the exit: whoever learns of it deletes the task and closes the connection that this answer needs.
    let isVmEnding = false;
    const exited = vmEnds.then(() => {
      isVmEnding = true;
      return record.wait(signal);
    });
    exited.catch(() => {});
    const killed = killing.catch((error: unknown) => {
      // What breaks off with the VM is no failure of the kill.
      if (!isVmEnding) throw error;
      return exited;
    });
    const answered = Promise.race([killed, exited]);
    if ((await orEndVm(`kill task ${taskId}`, answered, budgets.kill, this.#options)) === "VM ends") {
      await record.wait(signal);
    } else await answered;
  }

  #expectExit(taskId: string, record: ProcessRecord): Promise<void> {
    const before = this.#expected.get(record);
    if (before !== undefined) return before;
    const vmEnds = Promise.withResolvers<void>();
    this.#expected.set(record, vmEnds.promise);
    void this.#watch(record).then(async (hasEnded) => {
      if (hasEnded) return;
      const why = "a container has not ended although it was killed, so its VM is ended";
      const ending = endVm(why, { container: taskId, milliseconds: budgets.killed }, this.#options);
      vmEnds.resolve();
      await ending;
      // A VM that could not be ended is to be tried again by whoever kills again.
      this.#expected.delete(record);
    });
    return vmEnds.promise;
  }

  /** Whether the process has ended before the guest has had its time for it. */
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
    if (sandbox === undefined) return await settlesWithin(exited, budgets.killed, clock);
    const bounds = {
      worked: budgets.killed,
      silent: budgets.killed,
      longest: budgets.killedAtMost,
      // What has ended is on its way to its client, which has bounds of its own.
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
