import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { runDiag, type Surroundings } from "../../../apps/uvm-diag/src/run.ts";
import { textOf } from "../../../apps/uvm-diag/src/why/evidence.ts";
import type { Verdict } from "../../../apps/uvm-diag/src/why/index.ts";
import { poll } from "../support/wait.ts";
import type { Bench } from "./bench.ts";

export interface Provocation {
  /** What is done. */
  readonly name: string;
  /** The cause that must be named first; undefined if nothing is wrong. */
  readonly cause?: string;
  /** Those that are named after it; any other would be wrong. */
  readonly also?: readonly string[];
  /** What its sentence says. */
  readonly says?: RegExp;
  /** What one of its proofs says. */
  readonly proof?: RegExp;
  /** When it is asked: seconds from now. */
  readonly later?: number;
  /** Undefined where it can be done, else what is lacking. */
  readonly lacks?: () => string | undefined;
  readonly run: (bench: Bench) => Promise<unknown>;
}

/** Until what happened is recorded, and a killed process is gone. */
const settleMs = 6_000;
const answerSeconds = "1";

interface Answer {
  readonly code: number;
  readonly verdicts: readonly Verdict[];
}

/** What `uvm-diag why` says of the pod: the command itself, but for its clock. */
async function ask({ later = 0 }: Provocation, bench: Bench): Promise<Answer> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const texts = [text(stdout), text(stderr)];
  const code = await runDiag({
    arguments: ["why", `${bench.namespace}/${bench.id}`, "--json", "--timeout", answerSeconds],
    env: { UVM_SHIM_RECORDS: bench.records },
    platform: process.platform,
    userId: process.getuid?.(),
    streams: { stdin, stdout, stderr } as unknown as Surroundings["streams"],
    version: "",
    versionText: "",
    now: () => new Date(Date.now() + later * 1000),
    signal: bench.signal,
  });
  stdout.end();
  stderr.end();
  const [out = "", err = ""] = await Promise.all(texts);
  if (code !== 0 && code !== 10) throw new Error(`uvm-diag why ended with ${code}: ${err}`);
  return { code, verdicts: JSON.parse(out) };
}

/** What is wrong with the answer; undefined if it is right. */
export async function verdictProblem(provocation: Provocation, bench: Bench): Promise<string | undefined> {
  let problem: string | undefined = "";
  const isRight = async (): Promise<true | undefined> => {
    problem = await ask(provocation, bench).then(
      (answer) => problemOf(provocation, answer, bench),
      (error: Error) => error.message,
    );
    return problem === undefined || undefined;
  };
  await poll("the answer", isRight, { timeoutMs: settleMs, intervalMs: 100, signal: bench.signal }).catch(() => {});
  return problem;
}

function problemOf({ cause, also = [], says, proof }: Provocation, { code, verdicts }: Answer, bench: Bench) {
  const told = verdicts.map(({ cause: one, sentence, evidence }) =>
    [`${one}: ${sentence}`, ...evidence.map((each) => `  ${each.text.slice(0, 300)}`)].join("\n"),
  );
  const wanted = cause === undefined ? [] : [cause, ...also];
  const named = verdicts.map((verdict) => verdict.cause);
  if (named.join() !== wanted.join()) {
    const lines = named.length === 0 ? `nothing, of\n${bench.lines.map(textOf).join("\n")}` : `\n${told.join("\n")}`;
    return `it names ${lines}\nexpected ${wanted.join(", ") || "nothing"}`;
  }
  const [first] = verdicts;
  if (code !== (first === undefined ? 0 : 10)) return `the exit code is ${code}`;
  if (first === undefined) return undefined;
  if (says !== undefined && !says.test(first.sentence)) return `its sentence is\n${first.sentence}\nexpected ${says}`;
  const isProven = first.evidence.some((each) => (proof ?? /./).test(each.text));
  return isProven ? undefined : `its evidence is\n${told[0]}\nexpected ${proof}`;
}
