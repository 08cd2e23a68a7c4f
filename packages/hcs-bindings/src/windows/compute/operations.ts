import { hresults } from "@uvm-shim/hcs-schema";
import { type CloseReason, closedError } from "../native/close-reason.ts";
import { outputPointer } from "../native/output-parameters.ts";
import { PendingCalls } from "../native/pending-calls.ts";
import { callError, failed, type Subject } from "./call-results.ts";
import type { ComputeCore } from "./compute-core.ts";

/**
 * The calls of computecore.dll on one handle, or on none. An asynchronous call has an operation, which is closed when its
 * result has been read or the wait has ended, and never while the starting call still runs.
 */
export class Operations {
  readonly #core: ComputeCore;
  readonly #calls = new PendingCalls();
  readonly #waiting = new Set<(reason: CloseReason) => void>();

  constructor(core: ComputeCore) {
    this.#core = core;
  }

  /** A blocking call without an operation. */
  call<Value>(subject: Subject, work: () => Promise<Value>): Promise<Value> {
    return this.#calls.call(subject, work);
  }

  /**
   * Starts an operation and waits for its completion; resolves to its document. Fills `processInformation` where it is
   * given.
   */
  perform(
    subject: Subject,
    start: (operation: bigint) => Promise<number>,
    processInformation?: Buffer,
  ): Promise<string | undefined> {
    return this.#calls.call(subject, () => this.#perform(subject, start, processInformation));
  }

  /** Fails all pending operations. */
  fail(reason: CloseReason): void {
    for (const fail of this.#waiting) fail(reason);
  }

  /** Fails all pending and later operations; resolves when all calls have returned. */
  async end(reason: CloseReason): Promise<void> {
    this.fail(reason);
    await this.#calls.end(reason);
  }

  async #perform(
    subject: Subject,
    start: (operation: bigint) => Promise<number>,
    processInformation: Buffer | undefined,
  ): Promise<string | undefined> {
    const { library, callbacks } = this.#core;
    const completed = Promise.withResolvers<void>();
    // Nothing awaits this promise while the starting call runs.
    completed.promise.catch(() => {});
    const completion = callbacks.onCompletion(completed.resolve);
    const fail = (reason: CloseReason): void => completed.reject(closedError(subject, reason));
    this.#waiting.add(fail);
    try {
      const operation = library.call("HcsCreateOperation", completion.context, callbacks.completionAddress);
      if (operation === 0n) throw callError(subject, hresults.E_OUTOFMEMORY);
      let isPending = false;
      try {
        const started = await start(operation);
        if (failed(started)) throw callError(subject, started);
        isPending = true;
        await completed.promise;
        isPending = false;
        return this.#take(subject, operation, processInformation);
      } finally {
        this.#calls.track(this.#close(operation, isPending)).catch(() => {});
      }
    } finally {
      this.#waiting.delete(fail);
      completion.end();
    }
  }

  /** Both calls may wait for a running callback, which needs the main thread; so they run on the pool. */
  async #close(operation: bigint, isPending: boolean): Promise<void> {
    const { library } = this.#core;
    // Windows has not implemented cancellation so far. The work then continues, and its result is ignored.
    if (isPending) await library.run("HcsCancelOperation", operation);
    await library.run("HcsCloseOperation", operation);
  }

  #take(subject: Subject, operation: bigint, processInformation: Buffer | undefined): string | undefined {
    const { library, texts } = this.#core;
    const output = outputPointer();
    const hresult =
      processInformation === undefined
        ? library.call("HcsGetOperationResult", operation, output)
        : library.call("HcsGetOperationResultAndProcessInfo", operation, processInformation, output);
    const document = texts.take(output);
    if (failed(hresult)) throw callError(subject, hresult, document);
    return document;
  }
}
