import { hresults } from "@uvm-shim/hcs-schema";
import { type Ending, endingError } from "../native/close-reason.ts";
import { pointerRoom } from "../native/output-parameters.ts";
import { Calls } from "../native/pending-calls.ts";
import { failed, refusal, type Subject } from "./call-results.ts";
import type { ComputeCore } from "./compute-core.ts";

/**
 * The calls of computecore.dll that use one handle, or none. Those that answer later have an operation each, which is
 * closed when its answer has been taken or when nobody is to wait for it any more, and never while the call that starts
 * it still runs.
 */
export class Operations {
  readonly #core: ComputeCore;
  readonly #calls = new Calls();
  readonly #waiting = new Set<(ending: Ending) => void>();

  constructor(core: ComputeCore) {
    this.#core = core;
  }

  /** A call that answers at once, though not soon. */
  call<Value>(subject: Subject, work: () => Promise<Value>): Promise<Value> {
    return this.#calls.call(subject, work);
  }

  /**
   * Starts an operation and waits for its end; resolves to its document. Where there is room for information about a
   * process, that is taken with it.
   */
  perform(
    subject: Subject,
    start: (operation: bigint) => Promise<number>,
    processInformation?: Buffer,
  ): Promise<string | undefined> {
    return this.#calls.call(subject, () => this.#perform(subject, start, processInformation));
  }

  /** Fails what is waited for. */
  fail(ending: Ending): void {
    for (const fail of this.#waiting) fail(ending);
  }

  /** Fails what is waited for and what comes, and resolves when every call has returned. */
  async end(ending: Ending): Promise<void> {
    this.fail(ending);
    await this.#calls.end(ending);
  }

  async #perform(
    subject: Subject,
    start: (operation: bigint) => Promise<number>,
    processInformation: Buffer | undefined,
  ): Promise<string | undefined> {
    const { library, callbacks } = this.#core;
    const completed = Promise.withResolvers<void>();
    // While the starting call runs, nobody listens to this one.
    completed.promise.catch(() => {});
    const completion = callbacks.onCompletion(completed.resolve);
    const fail = (ending: Ending): void => completed.reject(endingError(subject, ending));
    this.#waiting.add(fail);
    try {
      const operation = library.call("HcsCreateOperation", completion.context, callbacks.completionAddress);
      if (operation === 0n) throw refusal(subject, hresults.E_OUTOFMEMORY);
      let isPending = false;
      try {
        const started = await start(operation);
        if (failed(started)) throw refusal(subject, started);
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

  /** Neither call is for the thread of JavaScript: they may wait for a callback that is on its way. */
  async #close(operation: bigint, isPending: boolean): Promise<void> {
    const { library } = this.#core;
    // Windows up to now answers that it cannot; then the work goes on, and nobody hears of its end.
    if (isPending) await library.run("HcsCancelOperation", operation);
    await library.run("HcsCloseOperation", operation);
  }

  #take(subject: Subject, operation: bigint, processInformation: Buffer | undefined): string | undefined {
    const { library, texts } = this.#core;
    const room = pointerRoom();
    const hresult =
      processInformation === undefined
        ? library.call("HcsGetOperationResult", operation, room)
        : library.call("HcsGetOperationResultAndProcessInfo", operation, processInformation, room);
    const document = texts.take(room);
    if (failed(hresult)) throw refusal(subject, hresult, document);
    return document;
  }
}
