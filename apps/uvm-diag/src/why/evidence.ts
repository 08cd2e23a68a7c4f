import type { StateTree } from "@uvm-shim/shim/protocol";
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

/** The guest's call that lasts as long as a process does. */
export const processWait = "waitForProcess";

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
  /** All work, without what people asked for who look at the pod. */
  readonly works: readonly Work[];
  /** Number of the line at which lines were left out last. */
  readonly #lastGap: number;

  constructor(input: WhyInput) {
    this.input = input;
    const sections = sectionsOf(input.events);
    const served = sections.findLast(([first]) => first?.type !== "header" || first.by === "serve") ?? [];
    this.served = served;
    this.#lastGap = served.findLast(({ type }) => type === "omitted")?.seq ?? 0;
    this.beside = sections.filter((section) => section !== served).flat();
    this.header =
      served.find((line) => line.type === "header") ?? sections.flat().find((line) => line.type === "header");
    this.works = worksOf(served);
    this.requests = this.works.filter(({ began }) => began.kind === "request");
  }

  /** Requests by which the pod suffered, the last first, without those that succeeded when they were repeated. */
  get failures(): readonly Failure[] {
    const failed = this.requests.filter((request) => isSuffered(request) && !this.#isOvercome(request));
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
    if (this.isDead) return [];
    return this.requests
      .filter((request) => request.ended === undefined && !waits.has(request.began.name) && this.#isUnderWay(request))
      .map((request) => ({
        request,
        innermost: innermostOf(request),
        milliseconds: this.#waitOf(request),
      }));
  }

  /** As the shim itself measures it, by a time that nobody sets, where it answers. */
  #waitOf(request: Work): number {
    const { now, state } = this.input;
    const call = this.#callOf(request);
    if (state === undefined || call === undefined) return now.getTime() - Date.parse(request.began.time);
    return call.milliseconds + now.getTime() - Date.parse(state.takenAt);
  }

  /** Its end may be among the lines that were left out: then only the shim knows. */
  #isUnderWay(request: Work): boolean {
    return this.input.state === undefined ? !this.hasGapAfter(request.began.seq) : this.#callOf(request) !== undefined;
  }

  #callOf({ began }: Work): StateTree["calls"][number] | undefined {
    return this.input.state?.calls.find(({ method, activityId }) =>
      began.activityId === undefined ? method.endsWith(`.${began.name}`) : activityId === began.activityId,
    );
  }

  /** Whether lines were left out after this one, so that what is not there may have been. */
  hasGapAfter(seq: number): boolean {
    return this.#lastGap > seq;
  }

  /** Whether the shim is known to be gone. */
  get isDead(): boolean {
    const { alive } = this.input.process;
    return alive === false || (alive === undefined && this.last("shim lost", this.beside) !== undefined);
  }

  /** Until when the pod could suffer: now, or the last that its shim said. */
  get until(): Date {
    const last = this.served.at(-1);
    return this.isDead && last !== undefined ? new Date(last.time) : this.input.now;
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
  const lookedAt = new Set<number>();
  const works: Work[] = [];
  for (const began of lines) {
    if (began.type !== "began") continue;
    const own: Work[] = [];
    const { seq, parent } = began;
    // A record that comes from elsewhere may have anything: parts of themselves too.
    if (parts.has(seq)) continue;
    if (observers.test(began.name) || (parent !== undefined && lookedAt.has(parent))) {
      lookedAt.add(seq);
      continue;
    }
    const work = { began, ended: ended.get(seq), parts: own };
    works.push(work);
    if (parent !== undefined) parts.get(parent)?.push(work);
    parts.set(seq, own);
  }
  return works;
}

/** Whose failures and waits are their own: a shell that somebody has open in the VM is not a pod that hangs. */
const observers = /^(ShimDiag|Inspect)\//;

/** What a client must have for the pod to do its work. */
const decisive = /^(Task\/(Create|Start|Exec|Update)|Sandbox\/(Create|Start)Sandbox)$/;
/** Whatever was asked for, these are no mistakes of who asked. */
const loud = /^(Internal|Unavailable|DeadlineExceeded|ResourceExhausted|Unknown)$/;

function isSuffered({ began, ended }: Work): boolean {
  const code = ended?.error?.code;
  if (code === undefined || code === "Cancelled") return false;
  return decisive.test(began.name) || loud.test(code);
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

/** The failure that became that of the work: it is repeated in its message, or else it was the first. */
function originOf(work: Work): Work {
  for (let origin = work; ; ) {
    // What fails while something is given back is a consequence.
    const failed = origin.parts
      .filter(({ began, ended }) => ended?.error !== undefined && began.name !== "release")
      .toSorted((a, b) => (a.ended?.seq ?? 0) - (b.ended?.seq ?? 0));
    const message = origin.ended?.error?.message ?? "";
    const repeated = failed.find(({ ended }) => message.includes(ended?.error?.message ?? ""));
    const next = repeated ?? failed[0];
    if (next === undefined) return origin;
    origin = next;
  }
}

function innermostOf(work: Work): Work {
  for (let innermost = work; ; ) {
    // The guest answers that call when the process ends, which nobody waits for while it starts.
    const open = innermost.parts.findLast(({ began, ended }) => ended === undefined && began.name !== processWait);
    if (open === undefined) return innermost;
    innermost = open;
  }
}

/** A line as evidence. */
export function proofOf(line: RecordLine): Proof {
  return { at: line.time, text: textOf(line) };
}

/** Whether anybody listens on a socket that the pod depends on. */
export function socketProof(
  { input: { facts } }: Evidence,
  which: "hostSocket" | "eventSocket",
  word = "now",
): readonly Proof[] {
  const socket = facts?.[which];
  if (socket === undefined) return [];
  return [{ text: `${socket.path} accepts ${socket.accepts ? "connections now" : `no connections ${word}`}` }];
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
