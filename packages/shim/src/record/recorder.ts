import type { Observation, Observer, Occurrence, StateChange } from "@uvm-shim/lifecycle";
import { describeError, translateError } from "../errors.ts";
import { printable } from "../plain-text.ts";
import type { LogLevel } from "../platform.ts";
import { failureOf, failureOfWork, isRare, isSilent, nameOf } from "./interest.ts";
import type { BeganLine, EndedLine, HeaderLine, LineAttributes, LogLine, OccurredLine, StateLine } from "./lines.ts";
import { type RecordReader, type Records, Ring } from "./ring.ts";

/** What a `Recorder` is made from. */
export interface RecorderOptions {
  readonly clock: { now(): Date };
  /** A time in milliseconds that is never set back. */
  readonly milliseconds: () => number;
  /** Takes each line, without line end. */
  readonly write?: (line: string) => void;
}

interface Running {
  readonly since: Date;
  readonly began: number;
  /** Number of its line; undefined while it has none, since it may turn out to be of no interest. */
  seq: number | undefined;
}

type Unnumbered<L extends { readonly seq: number; readonly time: string }> = Omit<L, "seq" | "time">;
type Event =
  | Unnumbered<HeaderLine>
  | Unnumbered<BeganLine>
  | Unnumbered<EndedLine>
  | Unnumbered<StateLine>
  | Unnumbered<OccurredLine>;

/** Calls of a client that asks again and again are recorded once they take longer, in milliseconds. */
const longestUnrecorded = 1000;
const mostAttributes = 32;
const longestName = 64;
const longestValue = 1024;
const longestMessage = 4096;
/** All attributes of a line as JSON, in characters: with a message beside them it stays below `longestRecordLine`. */
const longestAttributes = 16 * 1024;
const eventBounds = { beginning: 128 * 1024, end: 384 * 1024 };
const logBounds = { beginning: 0, end: 256 * 1024 };

/** Makes lines of what is observed, and keeps the first and the last of them. */
export class Recorder implements Observer, Records {
  readonly log = new Ring(logBounds);
  readonly events: RecordReader = {
    read: (after, most) => {
      this.#settle();
      return this.#events.read(after, most);
    },
    next: (after, signal) => this.#events.next(after, signal),
  };
  readonly #events = new Ring(eventBounds);
  readonly #options: RecorderOptions;
  readonly #running = new Map<Observation, Running>();
  #seq = 0;
  #failure: string | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** The first failure that was recorded. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Of the innermost work that has not ended: what a caller began may go on after it. */
  activityOf(observation: Observation | undefined): string | undefined {
    return this.#underWay(observation)?.activityId;
  }

  header(header: Omit<HeaderLine, "type" | "schema" | "seq" | "time">): void {
    this.#add({ type: "header", schema: 1, ...header });
  }

  began(observation: Observation): void {
    const running = { since: this.#options.clock.now(), began: this.#options.milliseconds(), seq: undefined };
    this.#running.set(observation, running);
    const around = this.#underWay(observation.parent);
    const isWithinUnrecorded = around !== undefined && this.#running.get(around)?.seq === undefined;
    if (isRare(observation) && !isWithinUnrecorded) this.#numberOf(observation);
    this.#settle();
  }

  ended(observation: Observation, error: unknown): void {
    const running = this.#running.get(observation);
    if (running === undefined) return;
    const ms = this.#options.milliseconds() - running.began;
    const failure = error === undefined ? undefined : failureLine(error);
    if (running.seq === undefined && (failure !== undefined || ms > longestUnrecorded)) this.#numberOf(observation);
    this.#running.delete(observation);
    if (running.seq === undefined) return;
    if (failure !== undefined) this.#failure ??= failureOfWork(observation, failure);
    const name = nameOf(observation);
    this.#add({ type: "ended", of: running.seq, name, ms: rounded(ms), ...(failure && { error: failure }) });
  }

  stateChanged(change: StateChange, within: Observation | undefined): void {
    this.#add({ type: "state", ...change, id: printable(change.id, longestValue), ...this.#place(within) });
  }

  occurred(occurrence: Occurrence, within: Observation | undefined): void {
    const { name } = occurrence;
    const attributes = bounded(occurrence.attributes);
    this.#failure ??= failureOf(occurrence);
    this.#add({ type: "occurred", name, ...(attributes && { attributes }), ...this.#place(within) });
  }

  logged(line: {
    readonly source: LogLine["source"];
    readonly level: LogLevel;
    readonly message: string;
    readonly fields: { readonly [key: string]: unknown };
    readonly activityId: string | undefined;
  }): void {
    const { source, level, activityId } = line;
    const message = printable(line.message, longestMessage);
    const fields = bounded(line.fields);
    this.#seq += 1;
    const time = this.#options.clock.now().toISOString();
    const log: LogLine = {
      ...{ seq: this.#seq, time, type: "log", source, level, message },
      ...(fields && { fields }),
      ...(activityId !== undefined && { activityId }),
    };
    const text = JSON.stringify(log);
    this.log.add(this.#seq, text);
    if (level === "warn" || level === "error") this.#options.write?.(text);
  }

  /** Gives long calls their lines. */
  #settle(): void {
    const now = this.#options.milliseconds();
    for (const [observation, { seq, began }] of this.#running) {
      if (seq === undefined && now - began > longestUnrecorded && !isSilent(observation)) this.#numberOf(observation);
    }
  }

  /** The number of the work's line, which is made if there is none. */
  #numberOf(observation: Observation): number | undefined {
    const running = this.#running.get(observation);
    if (running === undefined || isSilent(observation)) return undefined;
    if (running.seq !== undefined) return running.seq;
    const around = this.#underWay(observation.parent);
    const parent = around && this.#numberOf(around);
    const { kind, activityId } = observation;
    const name = nameOf(observation);
    const attributes = bounded(observation.attributes);
    running.seq = this.#add(
      {
        ...{ type: "began", kind, name, ...(attributes && { attributes }) },
        ...{ ...(parent !== undefined && { parent }), ...(activityId !== undefined && { activityId }) },
      },
      running.since,
    );
    return running.seq;
  }

  #place(within: Observation | undefined): { within?: number; activityId?: string } {
    const around = this.#underWay(within);
    if (around === undefined) return {};
    const seq = this.#numberOf(around);
    const { activityId } = around;
    return { ...(seq !== undefined && { within: seq }), ...(activityId !== undefined && { activityId }) };
  }

  #underWay(observation: Observation | undefined): Observation | undefined {
    let candidate = observation;
    while (candidate !== undefined && !this.#running.has(candidate)) candidate = candidate.parent;
    return candidate;
  }

  #add(event: Event, time = this.#options.clock.now()): number {
    this.#seq += 1;
    const text = JSON.stringify({ seq: this.#seq, time: time.toISOString(), ...event });
    this.#events.add(this.#seq, text);
    this.#options.write?.(text);
    return this.#seq;
  }
}

function failureLine(error: unknown): { readonly code: string; readonly message: string } {
  return { code: translateError(error).code, message: printable(describeError(error), longestMessage) };
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

function bounded(values: { readonly [key: string]: unknown }): LineAttributes | undefined {
  const entries: [string, string | number | boolean][] = [];
  let length = 0;
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const entry: [string, string | number | boolean] = [printable(name, longestName), boundedValue(value)];
    length += JSON.stringify(entry).length;
    if (length > longestAttributes || entries.length === mostAttributes) break;
    entries.push(entry);
  }
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function boundedValue(value: unknown): string | number | boolean {
  if (typeof value === "boolean" || Number.isFinite(value)) return value as number | boolean;
  return printable(textOf(value), longestValue);
}

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message;
  if (typeof value !== "object") return String(value);
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    // Cycles and big integers: a line that cannot be made must not fail what is logged.
    return Object.prototype.toString.call(value);
  }
}
