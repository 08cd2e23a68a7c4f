/** Client of QMP, the protocol by which QEMU is controlled (docs/interop/qmp-spec in QEMU's source). */
import { type JsonBounds, parseWithin } from "@uvm-shim/hcs-schema";
import { JsonLines } from "@uvm-shim/host-protocol";
import { abortable, type Clock, messageOf, withDeadline } from "@uvm-shim/lifecycle";
import type { DescriptorSocket } from "@uvm-shim/linux-calls";
import { HcsFailure } from "../../hcs-failure.ts";
import { printable, QmpError } from "./qmp-error.ts";

/** A QMP message's fields; their values are not checked yet. */
export interface QmpFields {
  readonly [name: string]: unknown;
}

/** An event, which QEMU sends at any time between two answers. */
export interface QmpEvent {
  readonly name: string;
  readonly data: QmpFields;
}

/** What a QMP client is made with. */
export interface QmpOptions {
  readonly clock: Clock;
  /** Milliseconds that QEMU has for an answer. One that misses a deadline is in an unknown state, so the client fails. */
  readonly answerTimeoutMs: number;
  /** Called once, when nothing can be asked any more. */
  readonly failed: (error: HcsFailure) => void;
}

interface Pending {
  readonly command: string;
  readonly answer: PromiseWithResolvers<unknown>;
}

/** QEMU's own answers are shorter; one that a guest has taken over could send anything. */
const longestLine = 1 << 20;
const bounds: JsonBounds = { length: longestLine, depth: 16, keys: 20_000, elements: 20_000 };
const readSize = 1 << 16;

/** One connection to a QEMU that was not used before. */
export class QmpClient {
  readonly #socket: Pick<DescriptorSocket, "watch" | "receive" | "send" | "close">;
  readonly #options: QmpOptions;
  readonly #lines = new JsonLines(longestLine);
  readonly #bytes = Buffer.alloc(readSize);
  readonly #greeting = Promise.withResolvers<string>();
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #stopped = new AbortController();
  #failure: HcsFailure | undefined;
  #ids = 0;

  /** The client owns the socket. */
  constructor(socket: Pick<DescriptorSocket, "watch" | "receive" | "send" | "close">, options: QmpOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#greeting.promise.catch(() => {});
    socket.watch(() => this.#read());
  }

  /** Whether QEMU can still be asked. */
  get isAlive(): boolean {
    return this.#failure === undefined;
  }

  /** Waits for the greeting and leaves the negotiation; resolves to QEMU's version. Events come only afterwards. */
  async start(signal?: AbortSignal): Promise<string> {
    const version = await abortable(this.#greeting.promise, signal);
    await this.execute("qmp_capabilities");
    return version;
  }

  /**
   * Runs a command, with a copy of the descriptor for those that take one. Rejects with a QmpError if QEMU refuses, and
   * with an HcsFailure if the connection is lost, when the command may or may not have had its effect.
   */
  async execute(command: string, parameters?: QmpFields, descriptor?: number): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = ++this.#ids;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, { command, answer });
    const message = { execute: command, ...(parameters !== undefined && { arguments: parameters }), id };
    try {
      this.#socket.send(Buffer.from(`${JSON.stringify(message)}\n`), descriptor === undefined ? [] : [descriptor]);
    } catch (error) {
      this.fail(new HcsFailure("HCS_E_CONNECTION_CLOSED", `${command}: ${messageOf(error)}`, { cause: error }));
    }
    const { clock, answerTimeoutMs: milliseconds } = this.#options;
    const error = (): Error => {
      const failure = new HcsFailure(
        "HCS_E_OPERATION_TIMEOUT",
        `QEMU did not answer ${command} within ${milliseconds} ms`,
      );
      this.fail(failure);
      return failure;
    };
    return withDeadline((until) => abortable(answer.promise, until), { clock, milliseconds, error });
  }

  /** Calls the listener for each event; returns what ends that. */
  listen(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves at an event. It must be called before the command that brings the event about, whose answer may come after
   * it. Rejects with the signal's reason, or with what ended the connection.
   */
  async awaitEvent(isIt: (event: QmpEvent) => boolean, signal: AbortSignal): Promise<QmpEvent> {
    const found = Promise.withResolvers<QmpEvent>();
    const stop = this.listen((event) => {
      if (isIt(event)) found.resolve(event);
    });
    try {
      return await abortable(found.promise, AbortSignal.any([signal, this.#stopped.signal]));
    } finally {
      stop();
    }
  }

  /** Ends the connection and rejects all that waits. The first failure stays. */
  fail(failure: HcsFailure): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#socket.close();
    this.#greeting.reject(failure);
    for (const { answer } of this.#pending.values()) {
      answer.promise.catch(() => {});
      answer.reject(failure);
    }
    this.#pending.clear();
    this.#stopped.abort(failure);
    this.#options.failed(failure);
  }

  #read(): void {
    try {
      for (;;) {
        const arrived = this.#socket.receive(this.#bytes);
        if (arrived === undefined) return;
        if (arrived.length === 0) throw new HcsFailure("HCS_E_CONNECTION_CLOSED", "QEMU has closed its monitor");
        for (const line of this.#lines.push(this.#bytes.subarray(0, arrived.length))) this.#take(line);
        if (this.#failure !== undefined) return;
      }
    } catch (error) {
      if (error instanceof HcsFailure) this.fail(error);
      else this.fail(new HcsFailure("HCS_E_PROTOCOL_ERROR", `QEMU's monitor: ${messageOf(error)}`, { cause: error }));
    }
  }

  #take(line: string): void {
    const message = fieldsOf(parseWithin(line, bounds, "QMP message"));
    if (message === undefined) throw new Error(`expected an object, got ${JSON.stringify(line.slice(0, 100))}`);
    if ("QMP" in message) this.#greeting.resolve(versionOf(message.QMP));
    else if ("event" in message) this.#tell({ name: String(message.event), data: fieldsOf(message.data) ?? {} });
    else if ("return" in message) this.#answered(message.id)?.answer.resolve(message.return);
    else if ("error" in message) this.#refused(message);
  }

  #refused({ id, error }: QmpFields): void {
    const { class: errorClass, desc } = fieldsOf(error) ?? {};
    const pending = this.#answered(id);
    // What QEMU cannot even read it answers without an id, so whose answer this is cannot be known.
    if (pending === undefined && id === undefined) throw new Error(`QEMU could not read a command: ${textOf(desc)}`);
    pending?.answer.reject(new QmpError(pending.command, textOf(errorClass), textOf(desc)));
  }

  #answered(id: unknown): Pending | undefined {
    const pending = this.#pending.get(id as number);
    this.#pending.delete(id as number);
    return pending;
  }

  #tell(event: QmpEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}

/** An object's fields; undefined for any other value. */
export function fieldsOf(value: unknown): QmpFields | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as QmpFields) : undefined;
}

function versionOf(greeting: unknown): string {
  const { major, minor, micro } = fieldsOf(fieldsOf(fieldsOf(greeting)?.version)?.qemu) ?? {};
  return [major, minor, micro].map((part) => (typeof part === "number" ? part : "?")).join(".");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? printable(value) : "";
}
