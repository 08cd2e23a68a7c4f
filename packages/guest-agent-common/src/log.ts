import { AsyncLocalStorage } from "node:async_hooks";
import type { Writable } from "node:stream";

/** The levels of a guest's log, as real guests write them. */
export type LogLevel = "debug" | "info" | "warning" | "error";
/** What a line says beside its text; undefined fields are left out. */
export type LogFields = { readonly [name: string]: string | number | boolean | undefined };

/** Bytes that may wait for a slow reader; further lines are dropped and counted. */
const backlogLimit = 1024 * 1024;

/**
 * The agent's log: one JSON object on each line, to the console until the host's log port is connected. Never blocks.
 */
export class GuestLog {
  readonly #console: Writable;
  readonly #now: () => Date;
  #sink: Writable | undefined;
  #dropped = 0;
  readonly #around = new AsyncLocalStorage<LogFields>();

  constructor(console: Writable, now: () => Date = () => new Date()) {
    this.#console = console;
    this.#now = now;
  }

  /** Sends further lines to this stream until it closes. */
  forwardTo(sink: Writable): void {
    this.#sink = sink;
    const detach = (): void => {
      if (this.#sink === sink) this.#sink = undefined;
    };
    sink.on("close", detach);
    sink.on("error", detach);
  }

  /** Adds the fields to every line of the work. */
  during<T>(fields: LogFields, work: () => T): T {
    return this.#around.run(fields, work);
  }

  debug(msg: string, fields?: LogFields): void {
    this.#write("debug", msg, fields);
  }

  info(msg: string, fields?: LogFields): void {
    this.#write("info", msg, fields);
  }

  warning(msg: string, fields?: LogFields): void {
    this.#write("warning", msg, fields);
  }

  error(msg: string, fields?: LogFields): void {
    this.#write("error", msg, fields);
  }

  #write(level: LogLevel, msg: string, fields: LogFields = {}): void {
    const target = this.#sink ?? this.#console;
    if (target.writableLength > backlogLimit) {
      this.#dropped++;
      return;
    }
    const dropped = this.#dropped === 0 ? {} : { dropped: this.#dropped };
    this.#dropped = 0;
    const line = { time: this.#now().toISOString(), level, msg, ...this.#around.getStore(), ...fields, ...dropped };
    target.write(`${JSON.stringify(line)}\n`);
  }
}
