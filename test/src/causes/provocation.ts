import type { RecordLine } from "@uvm-shim/shim/record";
import { textOf } from "../../../apps/uvm-diag/src/why/evidence.ts";
import { gatherFacts, type Verdict, why } from "../../../apps/uvm-diag/src/why/index.ts";
import { readProcesses } from "../leaks/holdings.ts";
import { poll } from "../support/wait.ts";
import { type Bench, NAMESPACE } from "./bench.ts";

export interface Provocation {
  /** What is done. */
  readonly name: string;
  /** The cause that must be named first; undefined if nothing is wrong. */
  readonly cause?: string;
  /** What its sentence says. */
  readonly says?: RegExp;
  /** What one of its proofs says. */
  readonly proof?: RegExp;
  /** When it is asked: seconds from now. */
  readonly later?: number;
  readonly run: (bench: Bench) => Promise<unknown>;
}

/** Until what happened is recorded, and a killed process is gone. */
const settleMs = 6_000;

/** What `why` says of the pod, as `uvm-diag` asks it. */
async function ask({ later = 0 }: Provocation, bench: Bench): Promise<readonly Verdict[]> {
  const events = bench.lines;
  const header = events.find((line) => line.type === "header");
  const alive = header !== undefined && readProcesses().some(({ pid }) => pid === header.pid);
  const facts = header === undefined ? undefined : await gatherFacts(header);
  const now = new Date(Date.now() + later * 1000);
  return why({
    ...{ pod: { namespace: NAMESPACE, id: bench.id }, now, events, log: [] },
    ...{ process: { alive, answers: alive }, ...(facts && { facts }) },
  });
}

/** What is wrong with the answer; undefined if it is right. */
export async function verdictProblem(provocation: Provocation, bench: Bench): Promise<string | undefined> {
  let problem: string | undefined = "";
  const isRight = async (): Promise<true | undefined> => {
    problem = problemOf(provocation, await ask(provocation, bench), bench.lines);
    return problem === undefined || undefined;
  };
  await poll("the answer", isRight, { timeoutMs: settleMs, intervalMs: 100, signal: bench.signal }).catch(() => {});
  return problem;
}

function problemOf(
  { cause, says, proof }: Provocation,
  verdicts: readonly Verdict[],
  lines: readonly RecordLine[],
): string | undefined {
  const told = verdicts.map(({ cause: code, sentence, evidence }) =>
    [`${code}: ${sentence}`, ...evidence.map(({ text }) => `  ${text.slice(0, 300)}`)].join("\n"),
  );
  const [first] = verdicts;
  if (cause === undefined) return first === undefined ? undefined : `it names\n${told.join("\n")}`;
  if (first === undefined) return `it names nothing, of\n${lines.map(textOf).join("\n")}`;
  if (first.cause !== cause) return `it names\n${told.join("\n")}`;
  if (says !== undefined && !says.test(first.sentence)) return `its sentence is\n${first.sentence}\nexpected ${says}`;
  const isProven = first.evidence.some(({ text }) => (proof ?? /./).test(text));
  return isProven ? undefined : `its evidence is\n${told[0]}\nexpected ${proof}`;
}
