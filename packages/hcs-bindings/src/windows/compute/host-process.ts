import type { Readable, Writable } from "node:stream";
import { checkHostProcessStatus, type HostProcessStatus } from "@uvm-shim/hcs-schema";
import type { HcsType } from "@uvm-shim/hcs-schema/tables";
import { HostError } from "../../host-error.ts";
import { hostEventTypes, type Subscription } from "../native/callbacks.ts";
import { closedError, handleClosed, serviceLost } from "../native/close-reason.ts";
import { callError, failed, readAnswer, type Subject, unlessAborted } from "./call-results.ts";
import type { ComputeCore } from "./compute-core.ts";
import { Operations } from "./operations.ts";

/** Streams of a process, as far as its parameters request them. */
export interface ProcessStdio {
  readonly stdin?: Writable;
  readonly stdout?: Readable;
  readonly stderr?: Readable;
}

type Start = (operation: bigint) => Promise<number>;

/** A handle of a process in a compute system. */
export class HostProcess {
  readonly processId: number;
  readonly stdio: ProcessStdio;
  /** Resolves to the exit code; rejects when the compute service is lost or the handle is closed. */
  readonly exited: Promise<number>;
  readonly #core: ComputeCore;
  readonly #handle: bigint;
  readonly #operations: Operations;
  readonly #events: Subscription;
  readonly #closing: (process: HostProcess) => void;
  readonly #resolveExited: (code: number) => void;
  readonly #rejectExited: (error: HostError) => void;
  #closed: Promise<void> | undefined;

  constructor(
    core: ComputeCore,
    handle: bigint,
    processId: number,
    stdio: ProcessStdio,
    closing: (process: HostProcess) => void,
  ) {
    this.processId = processId;
    this.stdio = stdio;
    this.#core = core;
    this.#handle = handle;
    this.#closing = closing;
    this.#operations = new Operations(core);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    promise.catch(() => {});
    this.exited = promise;
    this.#resolveExited = resolve;
    this.#rejectExited = reject;
    this.#events = core.callbacks.onEvent(({ type, data }) => {
      if (type === hostEventTypes.processExited) this.#hearExit(data);
    });
  }

  /** Waits for the exit, which may already have happened. */
  async watch(): Promise<void> {
    const { library, callbacks } = this.#core;
    const subject = this.#about("listen for events of");
    const hresult = await this.#operations.call(subject, () =>
      library.run("HcsSetProcessCallback", this.#handle, 0, this.#events.context, callbacks.eventAddress),
    );
    if (failed(hresult)) throw callError(subject, hresult);
    const { Exited: exited, ExitCode: code } = await this.properties();
    if (exited === true && code !== undefined) this.#resolveExited(code);
  }

  /** Ends the process at once. Succeeds if it has already ended; `exited` reports the end. */
  async terminate(signal?: AbortSignal): Promise<void> {
    const { library } = this.#core;
    const start: Start = (operation) => library.run("HcsTerminateProcess", this.#handle, operation, null);
    await this.#perform(this.#about("terminate"), signal, start).catch((error: unknown) => {
      if (!(error instanceof HostError) || !error.gone) throw error;
    });
  }

  async signal(options: HcsType<"SignalProcessOptions">, signal?: AbortSignal): Promise<void> {
    const { library } = this.#core;
    const document = JSON.stringify(options);
    await this.#perform(this.#about("signal"), signal, (operation) =>
      library.run("HcsSignalProcess", this.#handle, operation, document),
    );
  }

  async modify(request: HcsType<"ProcessModifyRequest">, signal?: AbortSignal): Promise<void> {
    const { library } = this.#core;
    const document = JSON.stringify(request);
    await this.#perform(this.#about("modify"), signal, (operation) =>
      library.run("HcsModifyProcess", this.#handle, operation, document),
    );
  }

  async properties(signal?: AbortSignal): Promise<HostProcessStatus> {
    const { library } = this.#core;
    const subject = this.#about("query");
    const answer = await this.#perform(subject, signal, (operation) =>
      library.run("HcsGetProcessProperties", this.#handle, operation, null),
    );
    return readAnswer(subject, answer, checkHostProcessStatus);
  }

  /** Closes the handle and its streams; the process continues. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** The compute service has ended, and with it the process. */
  lost(): void {
    this.#rejectExited(closedError(this.#about("wait for exit of"), serviceLost));
    void this.#operations.end(serviceLost);
  }

  async #close(): Promise<void> {
    this.#rejectExited(closedError(this.#about("wait for exit of"), handleClosed));
    for (const stream of [this.stdio.stdin, this.stdio.stdout, this.stdio.stderr]) stream?.destroy();
    await this.#operations.end(handleClosed);
    await this.#core.library.run("HcsCloseProcess", this.#handle);
    this.#events.end();
    this.#closing(this);
  }

  #hearExit(data: string | undefined): void {
    const subject = this.#about("wait for exit of");
    try {
      this.#resolveExited(readAnswer(subject, data, checkHostProcessStatus).ExitCode ?? 0);
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      this.#rejectExited(error);
    }
  }

  #perform(subject: Subject, signal: AbortSignal | undefined, start: Start): Promise<string | undefined> {
    return unlessAborted(signal, subject, () => this.#operations.perform(subject, start));
  }

  #about(verb: string): Subject {
    return { operation: `${verb} process`, id: String(this.processId) };
  }
}
