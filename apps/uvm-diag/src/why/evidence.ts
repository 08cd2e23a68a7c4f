import type { BeganLine, EndedLine, HeaderLine, OccurredLine, RecordLine } from "@uvm-shim/shim/record";
import type { Proof, WhyInput } from "./types.ts";

/** Work that was begun, with all that was begun in it. */
export interface Work {
  readonly began: BeganLine;
  readonly ended: EndedLine | undefined;
  readonly parts: readonly Work[];
}

/** A client's request that failed. */
export interface Failure {
  readonly request: Work;
  /** The work in it that failed first: its error is the nearest to the cause. */
  readonly origin: Work;
  readonly at: string;
}

/** What waits, innermost. */
export interface Pending {
  readonly request: Work;
  readonly innermost: Work;
  readonly milliseconds: number;
}

/** Requests that wait for as long as a process or a sandbox lives. */
const waits: ReadonlySet<string> = new Set(["Task/Wait", "Sandbox/WaitSandbox"]);

/** What is known of a pod, arranged for those who look for a cause. */
export class Evidence {
  readonly input: WhyInput;
  /** Of the shim that served last. */
  readonly header: HeaderLine | undefined;
  /** Its lines. */
  readonly served: readonly RecordLine[];
  /** Lines of `start` and `delete`. */
  readonly beside: readonly RecordLine[];
  readonly requests: readonly Work[];
  readonly works: readonly Work[];

  constructor(input: WhyInput) {
    this.input = input;
    const sections = sectionsOf(input.events);
    const served = sections.findLast(([first]) => first?.type !== "header" || first.by === "serve") ?? [];
    this.served = served;
    this.beside = sections.filter((section) => section !== served).flat();
    this.header =
      served.find((line) => line.type === "header") ?? sections.flat().find((line) => line.type === "header");
    this.works = worksOf(served);
    this.requests = this.works.filter(({ began }) => began.kind === "request");
  }

  /** Requests that failed, the last first, without those that succeeded when they were repeated. */
  get failures(): readonly Failure[] {
    const failed = this.requests.filter((request) => request.ended?.error !== undefined && !this.#isOvercome(request));
    const requests = [...failed, ...this.occurrences("start failed", this.beside).map(startOf)];
    return requests
      .map((request) => ({ request, origin: originOf(request), at: request.ended?.time ?? request.began.time }))
      .toReversed();
  }

  #isOvercome(failed: Work): boolean {
    const { name, attributes = {} } = failed.began;
    return this.requests.some(
      ({ began, ended }) =>
        began.seq > failed.began.seq &&
        began.name === name &&
        ended !== undefined &&
        ended.error === undefined &&
        began.attributes?.container_id === attributes.container_id &&
        began.attributes?.exec_id === attributes.exec_id,
    );
  }

  /** Requests under way in a shim that lives, the oldest first. */
  get pending(): readonly Pending[] {
    if (!this.input.process.alive) return [];
    return this.requests
      .filter(({ began, ended }) => ended === undefined && !waits.has(began.name))
      .map((request) => ({
        request,
        innermost: innermostOf(request),
        milliseconds: this.input.now.getTime() - Date.parse(request.began.time),
      }));
  }

  occurrences(name: string, lines: readonly RecordLine[] = this.served): readonly OccurredLine[] {
    return lines.filter((line) => line.type === "occurred").filter((line) => line.name === name);
  }

  last(name: string, lines: readonly RecordLine[] = this.served): OccurredLine | undefined {
    return this.occurrences(name, lines).at(-1);
  }

  /** Whether the shim has ended the pod in order. */
  get hasEnded(): boolean {
    return this.last("ending") !== undefined;
  }
}

function sectionsOf(lines: readonly RecordLine[]): readonly (readonly RecordLine[])[] {
  const sections: RecordLine[][] = [];
  for (const line of lines) {
    if (line.type === "header" || sections.length === 0) sections.push([]);
    sections.at(-1)?.push(line);
  }
  return sections;
}

function worksOf(lines: readonly RecordLine[]): readonly Work[] {
  const ended = new Map(lines.flatMap((line) => (line.type === "ended" ? [[line.of, line] as const] : [])));
  const parts = new Map<number, Work[]>();
  const works: Work[] = [];
  for (const began of lines) {
    if (began.type !== "began") continue;
    const own: Work[] = [];
    parts.set(began.seq, own);
    const work = { began, ended: ended.get(began.seq), parts: own };
    works.push(work);
    if (began.parent !== undefined) parts.get(began.parent)?.push(work);
  }
  return works;
}

/** The failed action `start`, as if it had been a request. */
function startOf({ seq, time, attributes = {} }: OccurredLine): Work {
  const error = { code: "Unavailable", message: String(attributes.error) };
  return {
    began: { seq, time, type: "began", kind: "request", name: "start" },
    ended: { seq, time, type: "ended", of: seq, name: "start", ms: 0, error },
    parts: [],
  };
}

function originOf(work: Work): Work {
  // What fails while something is given back is a consequence.
  const failed = work.parts.filter(({ began, ended }) => ended?.error !== undefined && began.name !== "release");
  const first = failed.toSorted((a, b) => (a.ended?.seq ?? 0) - (b.ended?.seq ?? 0))[0];
  return first === undefined ? work : originOf(first);
}

function innermostOf(work: Work): Work {
  const open = work.parts.findLast(({ ended }) => ended === undefined);
  return open === undefined ? work : innermostOf(open);
}

/** A line as evidence. */
export function proofOf(line: RecordLine): Proof {
  return { at: line.time, text: textOf(line) };
}

export function textOf(line: RecordLine): string {
  switch (line.type) {
    case "began":
      return `${line.name} began${detailsOf(line.attributes)}`;
    case "ended": {
      const { error } = line;
      return `${line.name} ${error === undefined ? "succeeded" : `failed with ${error.code}: ${error.message}`}`;
    }
    case "state":
      return `${line.subject} ${line.id}: ${line.from} → ${line.to} (${line.operation})`;
    case "occurred":
      return `${line.name}${detailsOf(line.attributes)}`;
    case "log":
      return `${line.source} ${line.level}: ${line.message}`;
    case "header":
      return `${line.shim} ${line.version}, pid ${line.pid}`;
    case "omitted":
      return `${line.lines} lines left out`;
  }
}

function detailsOf(attributes: { readonly [name: string]: unknown } = {}): string {
  const parts = Object.entries(attributes).map(([name, value]) => `${name} ${String(value)}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}
