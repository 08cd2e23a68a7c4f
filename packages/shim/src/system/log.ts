import { closeSync, constants, openSync, writeSync } from "node:fs";
import type { Clock } from "@uvm-shim/lifecycle";
import { quoted } from "../plain-text.ts";
import type { LogLevel } from "../platform.ts";
import type { ShimLog } from "./system.ts";

const severities = { trace: 0, debug: 1, info: 2, warn: 3, error: 4 } as const satisfies Record<LogLevel, number>;

/** Lines beyond this are dropped and counted. */
export const maxQueuedBytes = 256 * 1024;
/** PIPE_BUF: shorter writes to a pipe are atomic, so lines never mix with those of another writer. */
const longestLine = 4096;
const retryMilliseconds = 100;

/** Whether a level is less severe than a threshold. */
export function isBelow(level: LogLevel, threshold: LogLevel): boolean {
  return severities[level] < severities[threshold];
}

/** What a log is made from that goes to a FIFO. */
export interface PipeLogOptions {
  /** The FIFO `log` in the bundle, which containerd reads. */
  readonly path: string;
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Added to every line. */
  readonly fields?: { readonly [key: string]: unknown };
}

/**
 * Writes lines in logrus' text format to a FIFO. Never blocks: lines wait in a bounded queue while the FIFO is full or has
 * no reader, and the FIFO is opened again once it has one, as after a restart of containerd.
 */
export class PipeLog implements ShimLog {
  readonly #options: PipeLogOptions;
  readonly #queue: Buffer[] = [];
  #level: LogLevel;
  #queuedBytes = 0;
  #dropped = 0;
  #descriptor: number | undefined;
  #retry: AbortController | undefined;
  #closed = false;

  constructor(options: PipeLogOptions) {
    this.#options = options;
    this.#level = options.level;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  setLevel(level: LogLevel): void {
    this.#level = level;
  }

  isLogged(level: LogLevel): boolean {
    return !isBelow(level, this.#level);
  }

  log(level: LogLevel, message: string, fields: { readonly [key: string]: unknown } = {}): void {
    if (this.#closed || !this.isLogged(level)) return;
    const line = formatLine(this.#options.clock.now(), level, message, fields, this.#options.fields);
    if (this.#queuedBytes + line.length > maxQueuedBytes) this.#dropped++;
    else this.#enqueue(line);
    this.#flush();
  }

  /** Writes what the FIFO accepts at once, drops the rest and closes the FIFO. */
  close(): void {
    this.#flush();
    this.#closed = true;
    this.#retry?.abort();
    this.#closeDescriptor();
  }

  #enqueue(line: Buffer): void {
    this.#queue.push(line);
    this.#queuedBytes += line.length;
  }

  #flush(): void {
    if (!this.#writeQueue()) {
      this.#retryLater();
      return;
    }
    if (this.#dropped === 0) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    const now = this.#options.clock.now();
    this.#enqueue(formatLine(now, "warn", "log lines dropped", { dropped }, this.#options.fields));
    if (!this.#writeQueue()) this.#retryLater();
  }

  /** Whether the queue is empty now. */
  #writeQueue(): boolean {
    while (this.#queue[0] !== undefined) {
      this.#descriptor ??= openForWriting(this.#options.path);
      if (this.#descriptor === undefined) return false;
      try {
        writeSync(this.#descriptor, this.#queue[0]);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") this.#closeDescriptor();
        return false;
      }
      this.#queuedBytes -= this.#queue.shift()?.length ?? 0;
    }
    return true;
  }

  #retryLater(): void {
    if (this.#retry !== undefined || this.#closed) return;
    const retry = new AbortController();
    this.#retry = retry;
    this.#options.clock.delay(retryMilliseconds, retry.signal).then(
      () => {
        this.#retry = undefined;
        if (!this.#closed) this.#flush();
      },
      () => {},
    );
  }

  #closeDescriptor(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** Undefined while the FIFO has no reader or does not exist. */
function openForWriting(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/** Keys of every line. A field of a call with such a key gets a prefix, so that it cannot pass for them. */
const reservedKeys: ReadonlySet<string> = new Set(["time", "level", "msg"]);
const fieldPrefix = "fields.";

/** Limits for the parts of a line, which guests and clients may decide. A line that is cut says so. */
const mostFields = 64;
const mostMessageBytes = 1536;
const mostOwnBytes = 256;
const mostValueBytes = 2048;
const longestKey = 64;
/** Reserved for the count of omitted fields. */
const noteBytes = 32;

/** A line in logrus' text format, short enough for an atomic write. Fields cannot overwrite those of `own`. */
export function formatLine(
  time: Date,
  level: LogLevel,
  message: string,
  fields: { readonly [key: string]: unknown },
  own: { readonly [key: string]: unknown } = {},
): Buffer {
  const parts = [`time=${quote(time.toISOString(), mostOwnBytes)}`, `level=${level === "warn" ? "warning" : level}`];
  parts.push(`msg=${quote(message, mostMessageBytes)}`);
  for (const [key, value] of Object.entries(own)) parts.push(`${keyOf(key)}=${quote(textOf(value), mostOwnBytes)}`);
  let bytesLeft = longestLine - Buffer.byteLength(parts.join(" ")) - noteBytes;
  let omitted = 0;
  let taken = 0;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    if (value === undefined) continue;
    taken += 1;
    if (taken > mostFields || bytesLeft < mostOwnBytes) {
      omitted += 1;
      continue;
    }
    const name = keyOf(reservedKeys.has(key) || Object.hasOwn(own, key) ? `${fieldPrefix}${key}` : key);
    const part = `${name}=${quote(textOf(value), Math.min(mostValueBytes, bytesLeft - name.length - 2))}`;
    bytesLeft -= Buffer.byteLength(part) + 1;
    parts.push(part);
  }
  if (omitted > 0) parts.push(`left_out=${omitted}`);
  return Buffer.from(`${parts.join(" ")}\n`);
}

/** Replaces characters that could end the key or the line. */
function keyOf(key: string): string {
  const name = key.slice(0, longestKey).replace(/[^A-Za-z0-9_.-]/g, "_");
  return name === "" ? "_" : name;
}

function quote(text: string, mostBytes: number): string {
  return text.length <= mostBytes && /^[A-Za-z0-9\-._/@^+]+$/.test(text) ? text : quoted(text, mostBytes);
}

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message;
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  return String(value);
}
