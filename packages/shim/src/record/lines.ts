/**
 * The form of a pod's record: what its shim observed, one JSON object a line. A file has one or more sections, each begun
 * by a header: the serving process writes one, and `start` that failed and `delete` or the next sandboxer after a crash each append one. This
 * module imports nothing of the shim, so that tools can read records without it.
 */
import path from "node:path";

interface Line {
  /** Counts from 1 in each section. */
  readonly seq: number;
  /** In the form of ISO 8601. Older than that of the line before, for calls that were only recorded once they took long. */
  readonly time: string;
}

/** What a line says beside its name. */
export type LineAttributes = { readonly [name: string]: string | number | boolean };

/** The first line of a section: which shim writes it, for which pod. */
export interface HeaderLine extends Line {
  readonly type: "header";
  readonly schema: 1;
  /** The action that writes the section; `sandboxer` is one that comes after the process that served the pod. */
  readonly by: "serve" | "start" | "delete" | "sandboxer";
  /** The executable's name, such as containerd-shim-lcow-v2. */
  readonly shim: string;
  readonly version: string;
  readonly flavour: string;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly pid: number;
  /** Tells the process from another that reuses its pid; in the system's own unit. */
  readonly processStartTime: string;
  readonly socket: string;
  /** The ttrpc address at which containerd takes events; empty if it takes none. */
  readonly events: string;
  /** What UVM_SHIM_HOST says; empty if it says nothing. */
  readonly host: string;
  /** The folder of what is installed with the shim. */
  readonly installed: string;
  readonly logLevel: string;
}

/** Work has begun. */
export interface BeganLine extends Line {
  readonly type: "began";
  readonly kind: "request" | "phase" | "host-call" | "guest-request";
  readonly name: string;
  readonly attributes?: LineAttributes;
  /** `seq` of the began line of the work around it. */
  readonly parent?: number;
  readonly activityId?: string;
}

/** Work has ended, after so many milliseconds. */
export interface EndedLine extends Line {
  readonly type: "ended";
  /** `seq` of its began line. */
  readonly of: number;
  readonly name: string;
  readonly ms: number;
  /** Absent if it succeeded. */
  readonly error?: { readonly code: string; readonly message: string };
}

interface Momentary extends Line {
  /** `seq` of the began line of the work that it happened in. */
  readonly within?: number;
  readonly activityId?: string;
}

/** A state machine has changed its state, or an operation has left it as it was. */
export interface StateLine extends Momentary {
  readonly type: "state";
  readonly subject: string;
  readonly id: string;
  readonly operation: string;
  readonly from: string;
  readonly to: string;
  readonly outcome: "success" | "failure" | "event";
}

/** Something has happened at one instant. */
export interface OccurredLine extends Momentary {
  readonly type: "occurred";
  readonly name: string;
  readonly attributes?: LineAttributes;
}

/** A line of a log. */
export interface LogLine extends Line {
  readonly type: "log";
  readonly source: "shim" | "guest";
  readonly level: "trace" | "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields?: LineAttributes;
  readonly activityId?: string;
}

/** Stands for lines that were left out, because the file is bounded. */
export interface OmittedLine extends Line {
  readonly type: "omitted";
  readonly lines: number;
}

/** A line of a record, by its `type`. */
export type RecordLine = HeaderLine | BeganLine | EndedLine | StateLine | OccurredLine | LogLine | OmittedLine;

/** In UTF-16 code units. A longer text is no line of a record. */
export const longestRecordLine = 32 * 1024;
const mostAttributes = 64;

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isDuration: Check = (value) => typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
/** Of years with four digits: what is far from all others has no place on an axis of time. */
const isTime: Check = (value) => typeof value === "string" && /^\d{4}-/.test(value) && !Number.isNaN(Date.parse(value));
const isAttributes: Check = (value) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const entries = Object.values(value);
  return (
    entries.length <= mostAttributes && entries.every((one) => ["string", "number", "boolean"].includes(typeof one))
  );
};
const isError: Check = (value) => {
  const { code, message } = (value ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  return isText(code) && isText(message);
};
const oneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    words.includes(value as string);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

type Shape<Type extends RecordLine["type"]> = {
  readonly [Field in Exclude<keyof (RecordLine & { readonly type: Type }), "type" | "seq" | "time">]-?: Check;
};

const momentary = { within: optional(isCount), activityId: optional(isText) };
const shapes: { readonly [Type in RecordLine["type"]]: Shape<Type> } = {
  header: {
    ...{ schema: (value) => value === 1, by: oneOf("serve", "start", "delete", "sandboxer"), pid: isCount },
    ...{ shim: isText, version: isText, flavour: isText, namespace: isText, id: isText, bundle: isText },
    ...{ processStartTime: isText, socket: isText, events: isText, host: isText, installed: isText, logLevel: isText },
  },
  began: {
    ...{ kind: oneOf("request", "phase", "host-call", "guest-request"), name: isText },
    ...{ attributes: optional(isAttributes), parent: optional(isCount), activityId: optional(isText) },
  },
  ended: { of: isCount, name: isText, ms: isDuration, error: optional(isError) },
  state: {
    ...{ subject: isText, id: isText, operation: isText, from: isText, to: isText },
    ...{ outcome: oneOf("success", "failure", "event"), ...momentary },
  },
  occurred: { name: isText, attributes: optional(isAttributes), ...momentary },
  log: {
    ...{ source: oneOf("shim", "guest"), level: oneOf("trace", "debug", "info", "warn", "error"), message: isText },
    ...{ fields: optional(isAttributes), activityId: optional(isText) },
  },
  omitted: { lines: isCount },
};

/** Undefined for what is no line of a record: half a line, as a killed shim may leave, or one of a later schema. */
export function parseRecordLine(text: string): RecordLine | undefined {
  if (text.length > longestRecordLine) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const line = value as { readonly [field: string]: unknown };
  const { type } = line;
  if (typeof type !== "string" || !Object.hasOwn(shapes, type) || !isCount(line.seq) || !isTime(line.time)) {
    return undefined;
  }
  const shape: { readonly [field: string]: Check } = shapes[type as RecordLine["type"]];
  return Object.entries(shape).every(([field, check]) => check(line[field])) ? (value as RecordLine) : undefined;
}

/** The lines of a record, in the order in which they were numbered, and how many texts were none. */
export function parseRecord(text: string): { readonly lines: readonly RecordLine[]; readonly invalid: number } {
  const sections: RecordLine[][] = [[]];
  let invalid = 0;
  for (const one of text.split("\n")) {
    if (one === "") continue;
    const line = parseRecordLine(one);
    if (line === undefined) invalid += 1;
    else if (line.type === "header") sections.push([line]);
    else sections.at(-1)?.push(line);
  }
  return { lines: sections.flatMap((section) => section.toSorted((a, b) => a.seq - b.seq)), invalid };
}

/** The variable that names the folder of records, or forbids them by `none`. */
export const recordsVariable = "UVM_SHIM_RECORDS";

/** The folder of records; undefined if none are to be written. */
export function recordFolder(
  env: { readonly [name: string]: string | undefined },
  platform: string = process.platform,
): string | undefined {
  const named = env[recordsVariable];
  if (named === "none") return undefined;
  if (named) return named;
  if (platform !== "win32") return "/run/uvm-shim/pods";
  return path.win32.join(env.ProgramData || String.raw`C:\ProgramData`, "uvm-shim", "pods");
}

/** The path of a pod's record. */
export function recordFile(folder: string, namespace: string, id: string): string {
  return path.join(folder, namespace, `${id}.jsonl`);
}
