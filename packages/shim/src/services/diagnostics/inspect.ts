import { abortable, withDeadline } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../../errors.ts";
import type { uvmshim } from "../../generated/messages.js";
import type { RecordReader } from "../../record/ring.ts";
import { dumpState } from "../state-dump.ts";
import type { DiagnosticParts } from "./parts.ts";
import { textOf } from "./stacks.ts";
import { flavourOf, startedAt, stateTree } from "./state-tree.ts";
import { type Turns, tooMany } from "./turns.ts";

type RecordsRequest = InstanceType<typeof uvmshim.diagnostics.v1.RecordsRequest>;

const usualRecords = 1_000;
const mostRecords = 10_000;
/** An answer must stay below ttrpc's limit of 4 MiB. In bytes. */
const longestText = 2 * 1024 * 1024;
const longestWait = 30_000;
/** Calls that may wait for a line at the same time. */
const mostFollowers = 64;
/** How long host and guest each may take to tell of the VM. */
const vmMilliseconds = 5_000;

/** The shim's own diagnostic service. */
export class Inspect {
  readonly #parts: DiagnosticParts;
  readonly #turns: Turns;
  #followers = 0;

  constructor(parts: DiagnosticParts, turns: Turns) {
    this.#parts = parts;
    this.#turns = turns;
  }

  async metadata() {
    const { name, version, id, namespace, bundle, pid } = this.#parts.shim;
    return {
      ...{ name, version, namespace, bundle, pid, shimId: id },
      flavour: flavourOf(this.#parts.platform()) ?? "",
      runtime: `Node ${process.version}`,
      startedAt: startedAt(this.#parts.clock).toISOString(),
    };
  }

  state(): Promise<{ text: string }> {
    return this.#turns.take("tell the state", () => ({ text: JSON.stringify(stateTree(this.#parts)) }));
  }

  /** Recorded lines; waits for the first if there are none yet and the caller wants to. */
  async records(kind: "events" | "log", { after, most, waitMs }: RecordsRequest, signal: AbortSignal) {
    const reader = this.#parts.records?.[kind];
    if (reader === undefined) throw new ShimError("Unavailable", `read ${kind}: this shim records none`);
    const count = most === 0 ? usualRecords : Math.min(most, mostRecords);
    const read = () => this.#turns.take(`read ${kind}`, () => readFitting(reader, after, count));
    const found = await read();
    if (found.text !== "" || waitMs === 0) return found;
    if (this.#followers >= mostFollowers) throw tooMany(`read ${kind}`, mostFollowers);
    this.#followers += 1;
    try {
      await this.#next(reader, after, Math.min(waitMs, longestWait), signal);
    } finally {
      this.#followers -= 1;
    }
    return await read();
  }

  /** Returns when there is a new record or the time is over. */
  async #next(reader: RecordReader, after: number, milliseconds: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const over = new ShimError("DeadlineExceeded", "no record yet");
    const waiting = withDeadline((until) => abortable(reader.next(after, until), until), {
      ...{ clock, milliseconds, signal },
      error: () => over,
    });
    await waiting.catch((error: unknown) => {
      if (error !== over) throw error;
    });
  }

  dump(): Promise<{ text: string }> {
    return this.#turns.take("dump the state", () => {
      const lines = dumpState(this.#parts.log, this.#parts.describe());
      return { text: textOf(lines) };
    });
  }

  /** What the host knows of the VM, and what its guest says; one that does not answer does not keep the other. */
  async dumpVm(signal: AbortSignal): Promise<{ text: string }> {
    const sandbox = this.#parts.slot.present?.sandbox;
    if (sandbox?.state !== "running") {
      throw new ShimError("FailedPrecondition", "dump the VM: it does not run");
    }
    return this.#turns.ask("dump the VM", async () => {
      const [properties, stacks] = await Promise.all([
        this.#told((until) => sandbox.vmProperties(until), signal),
        this.#told((until) => sandbox.dumpStacks(until), signal),
      ]);
      const { vm } = sandbox.describe();
      return { text: JSON.stringify({ vm, properties, guestStacks: stacks }) };
    });
  }

  async #told<T>(work: (until: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T | { error: string }> {
    const { clock } = this.#parts;
    try {
      return await withDeadline((until) => abortable(work(until), until), {
        ...{ clock, milliseconds: vmMilliseconds, signal },
        error: () => new ShimError("DeadlineExceeded", `no answer within ${vmMilliseconds} ms`),
      });
    } catch (error) {
      signal.throwIfAborted();
      return { error: describeError(error) };
    }
  }
}

/** As many lines as fit into an answer, which must hold at least one, so that the caller gets on. */
function readFitting(reader: RecordReader, after: number, most: number): { text: string; last: number; lost: number } {
  const read = reader.read(after, most);
  let length = 0;
  const tooMany = read.lines.findIndex((line, index) => {
    length += Buffer.byteLength(line) + 1;
    return index > 0 && length > longestText;
  });
  const { lines, last, lost } = tooMany === -1 ? read : reader.read(after, tooMany);
  return { text: lines.map((line) => `${line}\n`).join(""), last, lost };
}
