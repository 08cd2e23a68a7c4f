import { closeSync, constants, openSync, writeSync } from "node:fs";
import type { Clock } from "@uvm-shim/lifecycle";
import { quoted } from "../plain-text.ts";
import type { Log } from "../platform.ts";
import type { ShimLog } from "./system.ts";

export type LogLevel = Parameters<Log["log"]>[0];

const severities = { trace: 0, debug: 1, info: 2, warn: 3, error: 4 } as const satisfies Record<LogLevel, number>;

/** The lines that wait for a reader are bounded; what does not fit is counted, and the count is logged. */
export const mostQueuedBytes = 256 * 1024;
/** A pipe takes a line of up to PIPE_BUF bytes whole or not at all, so lines never mix with another writer's. */
const longestLine = 4096;
const retryMilliseconds = 100;

export function isBelow(level: LogLevel, threshold: LogLevel): boolean {
  return severities[level] < severities[threshold];
}

export interface PipeLogOptions {
  /** The FIFO `log` in the bundle, of which containerd reads the other end. */
  readonly path: string;
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Fields of every line. */
  readonly fields?: { readonly [key: string]: unknown };
}

/**
 * Structured lines, as logrus writes them, to a FIFO. Never blocks: the FIFO is opened only while it has a reader,
 * lines wait in a bounded queue while it has none or is full, and it is opened again when a reader is back, as after
 * a restart of containerd.
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

  setLevel(level: LogLevel): void {
    this.#level = level;
  }

  isLogged(level: LogLevel): boolean {
    return !isBelow(level, this.#level);
  }

  log(level: LogLevel, message: string, fields: { readonly [key: string]: unknown } = {}): void {
    if (this.#closed || !this.isLogged(level)) return;
    const line = formatLine(this.#options.clock.now(), level, message, fields, this.#options.fields);
    if (this.#queuedBytes + line.length > mostQueuedBytes) this.#dropped++;
    else this.#enqueue(line);
    this.#flush();
  }

  /** Writes what the reader takes at once and lets go of the FIFO; what it does not take is lost. */
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
    this.#enqueue(formatLine(now, "warn", "log lines were dropped", { dropped }, this.#options.fields));
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

/** Undefined while nobody reads, or there is no FIFO. */
function openForWriting(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/** What the lines of a shim say of it, or of themselves; fields of a call that bear such a name are written after this. */
const ownNames: ReadonlySet<string> = new Set(["time", "level", "msg"]);
const renamed = "fields.";

/** Bounds of one line, whose parts others may have a say in: it is whole, or says how much is not in it. */
const mostFields = 64;
const mostMessageBytes = 1536;
const mostOwnBytes = 256;
const mostValueBytes = 2048;
const longestKey = 64;
/** Kept free for the count of what was left out. */
const noteBytes = 32;

/** One line as logrus' text formatter writes it, of no more than a pipe takes in one piece. `own` cannot be overwritten. */
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
  let room = longestLine - Buffer.byteLength(parts.join(" ")) - noteBytes;
  let leftOut = 0;
  let taken = 0;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    if (value === undefined) continue;
    taken += 1;
    if (taken > mostFields || room < mostOwnBytes) {
      leftOut += 1;
      continue;
    }
    const name = keyOf(ownNames.has(key) || Object.hasOwn(own, key) ? `${renamed}${key}` : key);
    const part = `${name}=${quote(textOf(value), Math.min(mostValueBytes, room - name.length - 2))}`;
    room -= Buffer.byteLength(part) + 1;
    parts.push(part);
  }
  if (leftOut > 0) parts.push(`left_out=${leftOut}`);
  return Buffer.from(`${parts.join(" ")}\n`);
}

/** What is no letter, digit, dot, dash or underscore could end the key, or the line. */
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
