import { connect, type Socket } from "node:net";
import type { CrashReport, SystemExitStatus } from "@uvm-shim/hcs-schema";
import {
  checkEmulatedHostMessage,
  checkEmulatedHostResult,
  type EmulatedHostCallName,
  type EmulatedHostCalls,
  type EmulatedHostMessage,
  type EmulatedHostResults,
  emulatedHostMaximumLineBytes,
  emulatedHostProtocolVersion,
  JsonLines,
} from "@uvm-shim/host-protocol";
import { abortedError, HostError, type HostErrorDetails, hostErrorOf } from "../host-error.ts";
import { parseHostDocument } from "../host-files/host-documents.ts";

type Subject = Pick<HostErrorDetails, "operation" | "id">;

interface PendingCall {
  readonly call: EmulatedHostCallName;
  readonly subject: Subject;
  readonly receive: (result: never) => void;
  readonly reject: (error: HostError) => void;
}

/** What becomes of a call's result, also when nobody waits for it any more. */
export interface CallOptions<Result, Value> {
  readonly signal?: AbortSignal | undefined;
  /** Converts the result for the caller, before any later message is handled. */
  readonly receive: (result: Result) => Value;
  /** Undoes a result that arrives after the caller has aborted. */
  readonly abandon?: (value: Value) => void;
}

/** Receives the events of one handle. */
export interface HandleListener {
  crashed(report: CrashReport): void;
  exited(status: SystemExitStatus): void;
  lost(error: HostError): void;
}

/** A connection to the emulated host: carries calls, answers and the events of handles. */
export class EmulatorConnection {
  readonly #socket: Socket;
  readonly #socketPath: string;
  readonly #lines = new JsonLines(emulatedHostMaximumLineBytes);
  readonly #pending = new Map<number, PendingCall>();
  readonly #handles = new Map<number, HandleListener>();
  readonly #closed: Promise<void>;
  #nextId = 1;
  #ended: HostError | undefined;

  private constructor(socket: Socket, socketPath: string) {
    this.#socket = socket;
    this.#socketPath = socketPath;
    this.#closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => this.#end(this.#lost("the connection failed", error)));
    socket.on("close", () => this.#end(this.#lost("the host closed the connection")));
  }

  /** Connects and checks the protocol version. Rejects with the socket's error if no host listens. */
  static async open(socketPath: string, signal?: AbortSignal): Promise<EmulatorConnection> {
    const socket = await new Promise<Socket>((resolve, reject) => {
      const attempt = connect({ path: socketPath, ...(signal === undefined ? {} : { signal }) });
      attempt.once("connect", () => {
        attempt.off("error", reject);
        resolve(attempt);
      });
      attempt.once("error", reject);
    });
    const connection = new EmulatorConnection(socket, socketPath);
    try {
      await connection.#greet(signal);
    } catch (error) {
      await connection.close();
      throw error;
    }
    return connection;
  }

  /** Resolves to the value of `receive`. An abort ends the wait; the host still carries out the call. */
  call<Name extends EmulatedHostCallName, Value>(
    call: Name,
    parameters: EmulatedHostCalls[Name],
    subject: Subject,
    options: CallOptions<EmulatedHostResults[Name], Value>,
  ): Promise<Value> {
    const { signal, receive, abandon } = options;
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#about(subject, this.#ended));
        return;
      }
      if (signal?.aborted === true) {
        reject(abortedError(signal, "cancelled before the call was sent", subject));
        return;
      }
      const id = this.#nextId++;
      let abandoned = false;
      const onAbort = (): void => {
        abandoned = true;
        if (signal !== undefined) reject(abortedError(signal, "cancelled while waiting for the host", subject));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(id, {
        call,
        subject,
        receive: (result: EmulatedHostResults[Name]) => {
          signal?.removeEventListener("abort", onAbort);
          const value = receive(result);
          if (abandoned) abandon?.(value);
          else resolve(value);
        },
        reject: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      });
      this.#socket.write(`${JSON.stringify({ id, call, arguments: parameters })}\n`);
    });
  }

  listen(handle: number, listener: HandleListener): void {
    this.#handles.set(handle, listener);
  }

  forget(handle: number): void {
    this.#handles.delete(handle);
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#end(new HostError("Cancelled", "the connection was closed", this.#subject));
    await this.#closed;
  }

  get #subject(): Subject {
    return { operation: "use connection to host", id: this.#socketPath };
  }

  #lost(message: string, cause?: unknown): HostError {
    return new HostError("Unavailable", message, { ...this.#subject, cause });
  }

  #about(subject: Subject, cause: HostError): HostError {
    return new HostError(cause.code, `lost the host: ${cause.message}`, { ...subject, cause });
  }

  /** Resolves when the host answers. The host answers calls in order. */
  ping(signal?: AbortSignal): Promise<void> {
    const subject = { operation: "ping host", id: this.#socketPath };
    return this.call("hello", { version: emulatedHostProtocolVersion }, subject, { signal, receive: () => {} });
  }

  async #greet(signal: AbortSignal | undefined): Promise<void> {
    const subject = { operation: "greet host", id: this.#socketPath };
    const { version } = await this.call("hello", { version: emulatedHostProtocolVersion }, subject, {
      signal,
      receive: (result) => result,
    });
    if (version === emulatedHostProtocolVersion) return;
    throw new HostError(
      "FailedPrecondition",
      `protocol version ${version} is not supported: expected ${emulatedHostProtocolVersion}; stop the running host, a new one starts on demand`,
      subject,
    );
  }

  #read(chunk: Buffer): void {
    if (this.#ended !== undefined) return;
    try {
      for (const line of this.#lines.push(chunk)) this.#handle(checkEmulatedHostMessage(parseHostDocument(line)));
    } catch (error) {
      this.#end(this.#lost("the host sent an invalid message", error));
    }
  }

  #handle(message: EmulatedHostMessage): void {
    switch (message.kind) {
      case "crashed":
        this.#handles.get(message.handle)?.crashed(message.report);
        return;
      case "exited":
        this.#handles.get(message.handle)?.exited(message.status);
        return;
      case "error":
        this.#take(message.id, (pending) => pending.reject(hostErrorOf(message.error, pending.subject)));
        return;
      case "result":
        this.#take(message.id, (pending) => {
          pending.receive(checkEmulatedHostResult(pending.call, message.result) as never);
        });
        return;
    }
  }

  #take(id: number, use: (pending: PendingCall) => void): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) throw new Error(`unexpected answer ${id}: no call with this id is pending`);
    use(pending);
    this.#pending.delete(id);
  }

  #end(error: HostError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#socket.destroy();
    for (const pending of this.#pending.values()) pending.reject(this.#about(pending.subject, error));
    this.#pending.clear();
    for (const listener of this.#handles.values()) listener.lost(error);
    this.#handles.clear();
  }
}
