import { abortable, type Clock } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../../errors.ts";
import type { Exit, Log, Process } from "../../platform.ts";
import type { TaskEvents } from "./task-events.ts";

/** The result of Delete, kept for callers that repeat it. */
export interface DeleteAnswer {
  readonly pid: number;
  readonly exit: Exit;
}

/** What a `ProcessRecord` is made from. */
export interface ProcessRecordOptions {
  readonly containerId: string;
  readonly process: Process;
  readonly events: TaskEvents;
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * One process as clients see it. Publishes its start before its exit, however soon it exits, and shares one deletion
 * among all callers.
 */
export class ProcessRecord {
  readonly process: Process;
  readonly #options: ProcessRecordOptions;
  readonly #deleted = Promise.withResolvers<Exit>();
  #phase: "fresh" | "starting" | "started" | "failed" = "fresh";
  #starting: Promise<void> = Promise.resolve();
  #abandoned = false;
  #deletion: Promise<DeleteAnswer> | undefined;
  readonly #exitPublished: Promise<void>;

  constructor(options: ProcessRecordOptions) {
    this.#options = options;
    this.process = options.process;
    this.#exitPublished = this.#publishExit();
  }

  async start(signal?: AbortSignal): Promise<number> {
    const { containerId, process, events } = this.#options;
    if (this.#phase === "starting" || this.#phase === "started") {
      const state = this.#phase === "starting" ? "is being started" : "was already started";
      throw new ShimError("FailedPrecondition", `start ${this.#name()}: it ${state}`);
    }
    const settled = Promise.withResolvers<void>();
    this.#phase = "starting";
    this.#starting = settled.promise;
    try {
      const pid = await process.start(signal);
      this.#phase = "started";
      if (process.execId === "") events.started(containerId, pid);
      else events.execStarted(containerId, process.execId, pid);
      return pid;
    } catch (error) {
      this.#phase = "failed";
      throw error;
    } finally {
      // One turn of the event loop later, so that the response to Start is sent before the exit is published.
      setImmediate(settled.resolve);
    }
  }

  async kill(signalNumber: number, send: (signalNumber: number) => Promise<void>): Promise<void> {
    if (this.process.state === "stopped") throw this.#finished();
    try {
      await send(signalNumber);
    } catch (error) {
      // The process may have exited in the meantime.
      if ((this.process.state as Process["state"]) === "stopped") throw this.#finished(error);
      throw error;
    }
  }

  /** Resolves when the process exits, or is deleted without having run. */
  async wait(signal?: AbortSignal): Promise<Exit> {
    const exited = this.process.wait(signal).catch((error: unknown) => {
      if (signal?.aborted) throw signal.reason;
      if (this.process.exit !== undefined) return this.process.exit;
      if (this.#abandoned) return abortable(this.#deleted.promise, signal);
      throw error;
    });
    const over = new AbortController();
    try {
      // The deletion may come much later, so this wait must not outlive the caller's.
      return await abortable(Promise.race([exited, abortable(this.#deleted.promise, over.signal)]), signal);
    } finally {
      over.abort();
    }
  }

  /** Runs one deletion for all callers, even when a caller gives up; after a failure the next caller runs another. */
  delete(teardown: () => Promise<Exit>, signal?: AbortSignal): Promise<DeleteAnswer> {
    if (this.process.state === "running") {
      throw new ShimError("FailedPrecondition", `delete ${this.#name()}: it is running; kill it first`);
    }
    this.#deletion ??= this.#delete(teardown).catch((error: unknown) => {
      this.#deletion = undefined;
      throw error;
    });
    return abortable(this.#deletion, signal);
  }

  /** Resolves when no more events follow: for a process that never ran, at once. */
  settle(): Promise<void> {
    if (this.process.state === "stopped") return this.#exitPublished;
    this.#abandoned = true;
    return Promise.resolve();
  }

  async #delete(teardown: () => Promise<Exit>): Promise<DeleteAnswer> {
    await this.settle();
    const { pid } = this.process;
    try {
      const exit = await teardown();
      this.#deleted.resolve(exit);
      return { pid, exit };
    } catch (error) {
      this.#abandoned = false;
      throw error;
    }
  }

  async #publishExit(): Promise<void> {
    const { containerId, process, events, log, clock } = this.#options;
    let exit: Exit;
    try {
      exit = await process.wait();
    } catch (error) {
      if (this.#abandoned) return;
      log.log("error", "process lost", { container: containerId, exec: process.execId, error: describeError(error) });
      exit = process.exit ?? { status: 255, exitedAt: clock.now() };
    }
    await this.#starting;
    if (this.#abandoned || this.#phase === "failed") return;
    events.exited(containerId, process.execId, process.pid, exit);
  }

  #name(): string {
    const { containerId, process } = this.#options;
    return process.execId === "" ? `task ${containerId}` : `exec ${process.execId} of task ${containerId}`;
  }

  #finished(cause?: unknown): ShimError {
    return new ShimError("NotFound", `kill ${this.#name()}: process already finished`, { cause });
  }
}
