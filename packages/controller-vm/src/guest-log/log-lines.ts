import { type JsonBounds, parseWithin, spelledAs } from "@uvm-shim/hcs-schema";
import type { GuestLogLine } from "../types.ts";

/** Bytes of a log line that are kept: a guest that writes no line ends must not fill the host's memory. */
export const longestLogLine = 64 * 1024;

/** Bounds of a JSON line; one that exceeds them is forwarded as plain text. */
const entryBounds: JsonBounds = { length: longestLogLine, depth: 8, keys: 256, elements: 1_024 };

const newline = 0x0a;

/** Splits a stream of bytes into lines of bounded length; longer lines are truncated and marked. */
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

  /** Emits the rest when the stream ended without a line end. */
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

/** Level names of the guest's logger. What is fatal to the guest is only an error on the host. */
const levels: Readonly<Record<string, GuestLogLine["level"]>> = {
  trace: "trace",
  debug: "debug",
  info: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  fatal: "error",
  panic: "error",
  // Names of levels of Windows' event tracing.
  verbose: "debug",
  information: "info",
  critical: "error",
};

/**
 * Bounds of the forwarded fields of a line. Their names get a prefix, so that none can be taken for a field of the
 * host.
 */
const mostFields = 32;
const longestName = 64;
const longestText = 1024;
const guestPrefix = "guest.";

/** Parses one line of the guest's log. Text that is not a JSON object, as from a crash, is forwarded as a warning. */
export function parseLogLine(line: string, truncated: boolean): GuestLogLine {
  const entry = parseObject(line);
  const cutFields = truncated ? { truncated } : {};
  if (entry === undefined) return { level: "warn", message: line.trimEnd(), fields: cutFields };
  const { level, msg, ...others } = entry;
  const name = typeof level === "string" ? level.toLowerCase() : "";
  const { message, fields } = textOf(msg, others);
  return {
    level: (Object.hasOwn(levels, name) && levels[name]) || "info",
    message,
    fields: { ...fieldsOf(fields), ...cutFields },
  };
}

type Fields = { readonly [name: string]: unknown };

/** A Windows guest forwards events that have their text in a field of their own, in one of two spellings. */
function textOf(msg: unknown, others: Fields): { readonly message: string; readonly fields: Fields } {
  const { message, Message, ...rest } = others;
  if (others.Source === "ETW" && typeof message === "string") return { message, fields: rest };
  if (others.Source === "ETW" && typeof Message === "string") return { message: Message, fields: rest };
  return { message: typeof msg === "string" ? msg : "", fields: others };
}

function fieldsOf(given: { readonly [name: string]: unknown }): { readonly [name: string]: unknown } {
  const names = Object.keys(given);
  const fields = names.slice(0, mostFields).map((name) => [`${guestPrefix}${nameOf(name)}`, shownOf(given[name])]);
  const leftOut = names.length - fields.length;
  return { ...Object.fromEntries(fields), ...(leftOut > 0 && { left_out: leftOut }) };
}

function nameOf(name: string): string {
  return name.slice(0, longestName).replace(/[^A-Za-z0-9_.-]/g, "_");
}

function shownOf(value: unknown): string | number | boolean | null {
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value;
  return cut(typeof value === "string" ? value : JSON.stringify(value), longestText);
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (cut: ${text.length} characters in all)`;
}

function parseObject(text: string): { readonly [key: string]: unknown } | undefined {
  // Checking the first character is far cheaper than a parse error for each line of a flood.
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    const value = parseWithin(text, entryBounds);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return spelledAs({ level: true, msg: true }, value) as { readonly [key: string]: unknown };
  } catch {
    return undefined;
  }
}
