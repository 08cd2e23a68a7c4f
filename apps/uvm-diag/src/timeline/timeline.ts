import type { BeganLine, EndedLine, HeaderLine, LineAttributes, RecordLine } from "@uvm-shim/shim/record";

/** Work with a beginning and, unless it is under way or its end is not known, an end. */
export interface Span {
  readonly kind: BeganLine["kind"];
  readonly name: string;
  readonly attributes: LineAttributes;
  readonly activityId: string | undefined;
  /** Milliseconds since the timeline's beginning. */
  readonly start: number;
  readonly took: number | undefined;
  /** Where the picture of it ends: its end, or the last that is known of the pod. */
  readonly until: number;
  readonly error: { readonly code: string; readonly message: string } | undefined;
  readonly parts: readonly Span[];
}

/** Something at one instant. */
export interface Mark {
  readonly name: string;
  readonly attributes: LineAttributes;
  readonly at: number;
  readonly isBad: boolean;
}

export interface Change {
  readonly at: number;
  readonly subject: string;
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly operation: string;
  readonly failed: boolean;
}

export interface Timeline {
  readonly header: HeaderLine | undefined;
  readonly began: Date;
  /** Milliseconds from the first that is known to the last. */
  readonly length: number;
  readonly spans: readonly Span[];
  readonly marks: readonly Mark[];
  readonly changes: readonly Change[];
  /** Lines that the record no longer had. */
  readonly omitted: number;
}

/** Occurrences that say that something went wrong. */
const badOccurrences = /lost|crash|fail|dropped|delayed|refused|out of memory|signal/i;

export function isBadOccurrence(name: string, attributes: LineAttributes | undefined): boolean {
  if (badOccurrences.test(name)) return true;
  return name === "vm exited" && attributes?.isExpected === false;
}

/** What a record tells of a pod's life. `now` ends what is still under way; without it, the last line does. */
export function timelineOf(lines: readonly RecordLine[], now?: Date): Timeline | undefined {
  const sections = sectionsOf(lines);
  const times = lines.map(({ time }) => Date.parse(time)).filter((time) => !Number.isNaN(time));
  if (times.length === 0) return undefined;
  const began = Math.min(...bounds(times));
  const ends = lines.flatMap((line) => (line.type === "ended" ? [Date.parse(line.time)] : []));
  const end = Math.max(...bounds([...times, ...ends, ...(now === undefined ? [] : [now.getTime()])]));
  const length = Math.max(0, end - began);
  const at = (time: string): number => Date.parse(time) - began;
  return {
    header: sections.flatMap(({ header }) => header ?? []).find(({ by }) => by === "serve") ?? sections[0]?.header,
    began: new Date(began),
    length,
    spans: sections.flatMap((section) => spansOf(section.lines, at, length)),
    marks: lines.flatMap((line) =>
      line.type === "occurred"
        ? [
            {
              name: line.name,
              attributes: line.attributes ?? {},
              at: at(line.time),
              isBad: isBadOccurrence(line.name, line.attributes),
            },
          ]
        : [],
    ),
    changes: lines.flatMap((line) =>
      line.type === "state" ? [{ ...pick(line), at: at(line.time), failed: line.outcome === "failure" }] : [],
    ),
    omitted: lines.reduce((sum, line) => (line.type === "omitted" ? sum + line.lines : sum), 0),
  };
}

function pick({ subject, id, from, to, operation }: RecordLine & { readonly type: "state" }) {
  return { subject, id, from, to, operation };
}

/** Smallest and largest; a record has too many lines for the arguments of one call. */
function bounds(numbers: readonly number[]): readonly [number, number] {
  return numbers.reduce<readonly [number, number]>(
    ([least, most], each) => [Math.min(least, each), Math.max(most, each)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}

interface Section {
  readonly header: HeaderLine | undefined;
  readonly lines: readonly RecordLine[];
}

/** Sequence numbers are unique in a section only. */
function sectionsOf(lines: readonly RecordLine[]): readonly Section[] {
  const sections: { header: HeaderLine | undefined; lines: RecordLine[] }[] = [];
  for (const line of lines) {
    if (line.type === "header" || sections.length === 0) {
      sections.push({ header: line.type === "header" ? line : undefined, lines: [] });
    }
    sections.at(-1)?.lines.push(line);
  }
  return sections;
}

function spansOf(lines: readonly RecordLine[], at: (time: string) => number, length: number): readonly Span[] {
  const ends = new Map<number, EndedLine>();
  const known = new Set<number>();
  const parts = new Map<number | undefined, BeganLine[]>();
  for (const line of lines) {
    if (line.type === "ended") ends.set(line.of, line);
    if (line.type === "began") known.add(line.seq);
  }
  for (const line of lines) {
    if (line.type !== "began") continue;
    // A parent that is not recorded (a poll) or was left out has no row. One that began later is no parent: the
    // lines would form a circle.
    const parent =
      line.parent !== undefined && line.parent < line.seq && known.has(line.parent) ? line.parent : undefined;
    const siblings = parts.get(parent);
    if (siblings === undefined) parts.set(parent, [line]);
    else siblings.push(line);
  }
  const spanOf = (line: BeganLine, depth: number): Span => {
    const end = ends.get(line.seq);
    const start = at(line.time);
    return {
      kind: line.kind,
      name: line.name,
      attributes: line.attributes ?? {},
      activityId: line.activityId,
      start,
      took: end?.ms,
      until: end === undefined ? length : Math.min(length, start + end.ms),
      error: end?.error,
      parts: depth >= deepest ? [] : inOrder(parts.get(line.seq) ?? []).map((part) => spanOf(part, depth + 1)),
    };
  };
  return inOrder(parts.get(undefined) ?? []).map((line) => spanOf(line, 1));
}

/** Deeper parts are not shown. */
const deepest = 32;

function inOrder(lines: readonly BeganLine[]): readonly BeganLine[] {
  return lines.toSorted((one, other) => Date.parse(one.time) - Date.parse(other.time) || one.seq - other.seq);
}

/** Whether a span only waits for the end of something, as a call of Wait does for hours. */
export function onlyWaits({ kind, name }: Span): boolean {
  return kind !== "phase" && /(^|\/)wait/i.test(name);
}
