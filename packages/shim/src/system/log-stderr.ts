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

/** How many lines one log may have a second. */
export interface LineBounds {
  readonly lines: number;
  /** Beyond those, of warnings and errors. */
  readonly urgent: number;
}

/** Of one pod: what a kubelet asks of a busy pod is less, at the level debug too. */
export const podLines: LineBounds = { lines: 200, urgent: 50 };

const second = 1000;

/**
 * The log of a process that serves many pods, or of one of its pods: lines in logrus' text format that share a sink. Each
 * log drops lines, and counts them, once too many wait, and leaves out those that are too many a second, so that no pod can
 * crowd out the others.
 */
export class SharedLog implements ShimLog {
  readonly #sink: LineSink;
  readonly #clock: Clock;
  readonly #fields: { readonly [key: string]: unknown };
  readonly #mostQueued: number;
  readonly #bounds: LineBounds | undefined;
  /** Written in the second that began with the first of them, and left out. */
  #lines = { since: 0, written: 0, leftOut: 0 };
  readonly #closing = new AbortController();
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
    /** Absent if there may be any number of lines. */
    readonly bounds?: LineBounds;
  }) {
    this.#sink = options.sink;
    this.#clock = options.clock;
    this.#level = options.level;
    this.#fields = options.fields ?? {};
    this.#mostQueued = options.mostQueued ?? maxQueuedBytes;
    this.#bounds = options.bounds;
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
    if (this.#isClosed || !this.isLogged(level) || !this.#isAllowed(level)) return;
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
    if (this.#isClosed) return;
    this.#tellLeftOut();
    this.#closing.abort(new Error("the log is closed"));
    this.#isClosed = true;
  }

  #isAllowed(level: LogLevel): boolean {
    if (this.#bounds === undefined) return true;
    const now = this.#clock.now().getTime();
    const age = now - this.#lines.since;
    // The system clock may be set back.
    if (age >= second || age < 0) {
      this.#tellLeftOut();
      this.#lines = { since: now, written: 0, leftOut: 0 };
    }
    const { lines, urgent } = this.#bounds;
    if (this.#lines.written < (isBelow(level, "warn") ? lines : lines + urgent)) {
      this.#lines.written += 1;
      return true;
    }
    this.#lines.leftOut += 1;
    if (this.#lines.leftOut === 1) this.#tellLater(second - (now - this.#lines.since));
    return false;
  }

  /** There may be no further line. */
  #tellLater(milliseconds: number): void {
    this.#clock.delay(milliseconds, this.#closing.signal).then(
      () => this.#tellLeftOut(),
      () => {},
    );
  }

  #tellLeftOut(): void {
    const { leftOut } = this.#lines;
    if (leftOut === 0) return;
    this.#lines.leftOut = 0;
    const what = leftOut === 1 ? "1 line" : `${leftOut} lines`;
    this.#write("warn", `${what} left out`, { most_per_second: this.#bounds?.lines });
  }

  #write(level: LogLevel, message: string, fields: { readonly [key: string]: unknown }): void {
    this.#sink.write(formatLine(this.#clock.now(), level, message, fields, this.#fields));
  }
}
