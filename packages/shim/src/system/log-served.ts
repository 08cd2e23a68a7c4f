import type { Duplex } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";
import type { LogLevel } from "../platform.ts";
import { formatLine, isBelow, maxQueuedBytes } from "./log.ts";
import type { ShimLog } from "./system.ts";

/** What a log is made from that its reader dials. */
export interface ServedLogOptions {
  /** Serves the pipe that containerd dials. */
  readonly serve: (onConnection: (reader: Duplex) => void) => Promise<{ close(): Promise<void> }>;
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Added to every line. */
  readonly fields: { readonly [key: string]: unknown };
}

/**
 * Writes lines in logrus' text format to whoever dials a pipe that the shim serves; a new reader replaces the previous
 * one. Never blocks: lines wait in a bounded queue while there is no reader, or a slow one.
 */
export class ServedLog implements ShimLog {
  readonly #options: ServedLogOptions;
  readonly #server: Promise<{ close(): Promise<void> } | undefined>;
  #level: LogLevel;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #dropped = 0;
  #reader: Duplex | undefined;
  #closed = false;

  constructor(options: ServedLogOptions) {
    this.#options = options;
    this.#level = options.level;
    // A shim without a readable log is better than none.
    this.#server = options.serve((reader) => this.#take(reader)).catch(() => undefined);
  }

  get queuedBytes(): number {
    return this.#reader?.writableLength ?? this.#queuedBytes;
  }

  setLevel(level: LogLevel): void {
    this.#level = level;
  }

  isLogged(level: LogLevel): boolean {
    return !isBelow(level, this.#level);
  }

  log(level: LogLevel, message: string, fields: { readonly [key: string]: unknown } = {}): void {
    if (this.#closed || !this.isLogged(level)) return;
    this.#reportDropped();
    this.#put(formatLine(this.#options.clock.now(), level, message, fields, this.#options.fields));
  }

  close(): void {
    this.#closed = true;
    this.#reader?.end();
    void this.#server.then((server) => server?.close());
  }

  #take(reader: Duplex): void {
    this.#reader?.destroy();
    reader.on("error", () => {});
    if (this.#closed) {
      reader.destroy();
      return;
    }
    this.#reader = reader;
    reader.once("close", () => {
      if (this.#reader === reader) this.#reader = undefined;
    });
    // The reader sends nothing, but without reading its end goes unnoticed.
    reader.resume();
    const waiting = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const line of waiting) reader.write(line);
    this.#reportDropped();
  }

  #reportDropped(): void {
    if (this.#dropped === 0 || this.#isFull()) return;
    const dropped = this.#dropped;
    const now = this.#options.clock.now();
    this.#dropped = 0;
    this.#put(formatLine(now, "warn", "log lines dropped", { dropped }, this.#options.fields));
  }

  #put(line: Buffer): void {
    if (this.#isFull()) {
      this.#dropped++;
    } else if (this.#reader !== undefined) {
      this.#reader.write(line);
    } else {
      this.#queue.push(line);
      this.#queuedBytes += line.length;
    }
  }

  #isFull(): boolean {
    return this.queuedBytes >= maxQueuedBytes;
  }
}
