import type { Duplex } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";
import { formatLine, isBelow, type LogLevel, mostQueuedBytes } from "./log.ts";
import type { ShimLog } from "./system.ts";

export interface ServedLogOptions {
  /** Begins to serve the pipe that containerd dials. */
  readonly serve: (onConnection: (reader: Duplex) => void) => Promise<{ close(): Promise<void> }>;
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Fields of every line. */
  readonly fields: { readonly [key: string]: unknown };
}

/**
 * Structured lines, as logrus writes them, to whoever dials a pipe that the shim itself serves; the latest reader is
 * the one. Never blocks: lines wait in a bounded queue while there is no reader, or one that is slow.
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
    // A shim whose log cannot be read is of more use than none.
    this.#server = options.serve((reader) => this.#take(reader)).catch(() => undefined);
  }

  setLevel(level: LogLevel): void {
    this.#level = level;
  }

  isLogged(level: LogLevel): boolean {
    return !isBelow(level, this.#level);
  }

  log(level: LogLevel, message: string, fields: { readonly [key: string]: unknown } = {}): void {
    if (this.#closed || !this.isLogged(level)) return;
    this.#tellDropped();
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
    // Nothing is expected from it; only so its end is seen.
    reader.resume();
    const waiting = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const line of waiting) reader.write(line);
    this.#tellDropped();
  }

  #tellDropped(): void {
    if (this.#dropped === 0 || !this.#hasRoom()) return;
    const dropped = this.#dropped;
    const now = this.#options.clock.now();
    this.#dropped = 0;
    this.#put(formatLine(now, "warn", "log lines were dropped", { dropped }, this.#options.fields));
  }

  #put(line: Buffer): void {
    if (!this.#hasRoom()) {
      this.#dropped++;
    } else if (this.#reader !== undefined) {
      this.#reader.write(line);
    } else {
      this.#queue.push(line);
      this.#queuedBytes += line.length;
    }
  }

  #hasRoom(): boolean {
    return (this.#reader?.writableLength ?? this.#queuedBytes) < mostQueuedBytes;
  }
}
