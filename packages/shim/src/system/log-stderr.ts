import { fstatSync, writeSync } from "node:fs";
import net from "node:net";
import type { Clock } from "@uvm-shim/lifecycle";
import type { LogLevel } from "../platform.ts";
import { formatLine, isBelow, maxQueuedBytes } from "./log.ts";
import type { ShimLog } from "./system.ts";

/** Takes lines without blocking; `queuedBytes` are those that it has not passed on yet. */
export interface LineSink {
  readonly queuedBytes: number;
  write(line: Buffer): void;
}

/**
 * Standard error as a service has it: a socket of systemd's journal or a pipe, which may be full. Lines then wait in
 * memory; Node's own stream would block the process.
 */
export function standardError(descriptor = 2): LineSink {
  const kind = fstatSync(descriptor);
  if (!kind.isFIFO() && !kind.isSocket()) {
    return { queuedBytes: 0, write: (line) => void writeSync(descriptor, line) };
  }
  const stream = new net.Socket({ fd: descriptor, readable: false, writable: true });
  // Without a reader nobody misses the lines.
  stream.on("error", () => {});
  stream.unref();
  return {
    get queuedBytes() {
      return stream.writableLength;
    },
    write: (line) => {
      if (!stream.destroyed) stream.write(line);
    },
  };
}

/**
 * The log of a process that serves many pods, or of one of its pods: lines in logrus' text format that share a sink. Each
 * log drops lines, and counts them, once too many of its own wait, so that no pod can crowd out the others.
 */
export class SharedLog implements ShimLog {
  readonly #sink: LineSink;
  readonly #clock: Clock;
  readonly #fields: { readonly [key: string]: unknown };
  readonly #mostQueued: number;
  #level: LogLevel;
  #isClosed = false;
  #dropped = 0;

  constructor(options: {
    readonly sink: LineSink;
    readonly clock: Clock;
    readonly level: LogLevel;
    /** Added to every line. */
    readonly fields?: { readonly [key: string]: unknown };
    /** How full the sink may be, in bytes, for this log to add to it. */
    readonly mostQueued?: number;
  }) {
    this.#sink = options.sink;
    this.#clock = options.clock;
    this.#level = options.level;
    this.#fields = options.fields ?? {};
    this.#mostQueued = options.mostQueued ?? maxQueuedBytes;
  }

  get queuedBytes(): number {
    return this.#sink.queuedBytes;
  }

  setLevel(level: LogLevel): void {
    this.#level = level;
  }

  isLogged(level: LogLevel): boolean {
    return !isBelow(level, this.#level);
  }

  log(level: LogLevel, message: string, fields: { readonly [key: string]: unknown } = {}): void {
    if (this.#isClosed || !this.isLogged(level)) return;
    if (this.#sink.queuedBytes >= this.#mostQueued) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) {
      const dropped = this.#dropped;
      this.#dropped = 0;
      this.#write("warn", "log lines dropped", { dropped });
    }
    this.#write(level, message, fields);
  }

  close(): void {
    this.#isClosed = true;
  }

  #write(level: LogLevel, message: string, fields: { readonly [key: string]: unknown }): void {
    this.#sink.write(formatLine(this.#clock.now(), level, message, fields, this.#fields));
  }
}
