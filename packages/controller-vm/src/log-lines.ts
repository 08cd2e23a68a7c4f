import { type JsonBounds, parseWithin, spelledAs } from "@uvm-shim/hcs-schema";
import type { GuestLogLine } from "./types.ts";

/** Bytes of a log line that are kept; a guest that writes no line ends must not fill the host's memory. */
export const longestLogLine = 64 * 1024;

/** Of a line that is an object; one that holds more is passed on as the text that it is. */
const entryBounds: JsonBounds = { length: longestLogLine, depth: 8, keys: 256, elements: 1_024 };

const newline = 0x0a;

/** Cuts a stream of bytes into lines of bounded length. What is beyond the bound is dropped, and that is told. */
export class LineSplitter {
  readonly #onLine: (line: string, truncated: boolean) => void;
  #parts: Buffer[] = [];
  #length = 0;
  #truncated = false;

  constructor(onLine: (line: string, truncated: boolean) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end));
      this.#emit();
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  /** What the stream ended with, when it ended without a line end. */
  end(): void {
    if (this.#length > 0) this.#emit();
  }

  #keep(bytes: Buffer): void {
    const kept = bytes.subarray(0, longestLogLine - this.#length);
    if (kept.length < bytes.length) this.#truncated = true;
    if (kept.length === 0) return;
    this.#parts.push(Buffer.from(kept));
    this.#length += kept.length;
  }

  #emit(): void {
    const line = Buffer.concat(this.#parts).toString("utf8");
    const truncated = this.#truncated;
    this.#parts = [];
    this.#length = 0;
    this.#truncated = false;
    this.#onLine(line, truncated);
  }
}

/** Levels of the guest's logger by the name that it writes. The host goes on after what is fatal to the guest. */
const levels: Readonly<Record<string, GuestLogLine["level"]>> = {
  trace: "trace",
  debug: "debug",
  info: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  fatal: "error",
  panic: "error",
};

/** One line of the guest's log. What is no JSON object (a crash's last words) is passed on as it is, as a warning. */
export function parseLogLine(line: string, truncated: boolean): GuestLogLine {
  const entry = parseObject(line);
  if (entry === undefined) return { level: "warn", message: line.trimEnd(), fields: truncated ? { truncated } : {} };
  const { level, msg, ...fields } = entry;
  const name = typeof level === "string" ? level.toLowerCase() : "";
  return {
    level: (Object.hasOwn(levels, name) && levels[name]) || "info",
    message: typeof msg === "string" ? msg : "",
    fields,
  };
}

function parseObject(text: string): { readonly [key: string]: unknown } | undefined {
  try {
    const value = parseWithin(text, entryBounds);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return spelledAs({ level: true, msg: true }, value) as { readonly [key: string]: unknown };
  } catch {
    return undefined;
  }
}
