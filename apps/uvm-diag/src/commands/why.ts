import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import path from "node:path";
import type { HeaderLine } from "@uvm-shim/shim/record";
import { type Context, patienceOf, podAndRest, writeJson } from "../context.ts";
import { exitCodes } from "../errors.ts";
import { calendarDay, clockTime } from "../output/duration.ts";
import type { Output } from "../output/output.ts";
import { plain } from "../output/plain.ts";
import { nameOf, type Pod } from "../pods/pod.ts";
import { recordOf } from "../shim/records.ts";
import { ask } from "../shim/survey.ts";
import { gatherFacts, type Verdict, why as verdictsOf, type WhyInput } from "../why/index.ts";

const longestLastWords = 4096;
const mostEvidence = 8;

export async function why(context: Context): Promise<number> {
  const { output, options } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const input = await whatIsKnown(pod, context);
  const verdicts = verdictsOf(input);
  if (options.json !== undefined) writeJson(output, verdicts);
  else if (verdicts.length === 0) output.line(`Nothing seems to be wrong with ${plain(nameOf(input.pod))}.`);
  else {
    verdicts.forEach((verdict, index) => {
      if (index > 0) output.line();
      writeVerdict(output, verdict);
    });
  }
  return verdicts.length === 0 ? exitCodes.done : exitCodes.causeFound;
}

async function whatIsKnown(pod: Pod, context: Context): Promise<WhyInput> {
  const answer = await ask(pod, patienceOf(context));
  // Who says nothing to one question is not asked two more.
  const source = answer.kind === "silent" && pod.record !== undefined ? { ...pod, socket: undefined } : pod;
  if (answer.kind === "silent" && answer.silence === "not asked" && pod.record !== undefined) {
    context.output.note(`${nameOf(pod)}: its record is all that is known, since ${answer.reason}`);
  }
  const [events, log] = [await recordOf(source, "Events", context), await recordOf(source, "Log", context)];
  const headers = events.filter((line): line is HeaderLine => line.type === "header");
  const header = headers.findLast(({ by }) => by === "serve") ?? headers.at(-1);
  // What a record of another machine tells has nothing to do with this one.
  const isHere = context.options.record === undefined;
  const panic = isHere ? lastWords(pod.bundle ?? header?.bundle) : undefined;
  const pid = pod.pid ?? header?.pid;
  return {
    pod: header === undefined ? pod : { namespace: header.namespace, id: header.id },
    now: isHere ? context.now() : new Date(events.at(-1)?.time ?? context.now()),
    events,
    log: log.flatMap((line) => (line.type === "log" ? [line] : [])),
    process: {
      ...(pid !== undefined && { pid }),
      alive: isHere ? pod.socket !== undefined : undefined,
      ...(answer.kind === "silent" && answer.silence !== "not asked" && { silence: answer.silence }),
    },
    ...(answer.kind === "state" && { state: answer.tree }),
    ...(panic !== undefined && { panic }),
    ...(isHere && header !== undefined && { facts: await gatherFacts(header) }),
  };
}

/** What a shim that crashed said last; all that it said may be much. */
function lastWords(bundle: string | undefined): string | undefined {
  if (bundle === undefined) return undefined;
  try {
    const descriptor = openSync(path.join(bundle, "panic.log"), "r");
    try {
      const { size } = fstatSync(descriptor);
      const buffer = Buffer.alloc(longestLastWords);
      const length = readSync(descriptor, buffer, 0, buffer.length, Math.max(0, size - buffer.length));
      return buffer.toString("utf8", 0, length).trim() || undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}

function writeVerdict(output: Output, { cause, sentence, evidence, advice }: Verdict): void {
  output.line(`${output.style("bold", plain(sentence))} ${output.style("dim", `[${cause}]`)}`);
  for (const { at, text } of evidence.slice(0, mostEvidence)) {
    const time = at === undefined ? undefined : new Date(at);
    const when = time === undefined || Number.isNaN(time.getTime()) ? "" : `${calendarDay(time)} ${clockTime(time)}  `;
    output.line(`  ${output.style("dim", when)}${plain(text)}`);
  }
  const left = evidence.length - mostEvidence;
  if (left > 0) output.line(output.style("dim", `  and ${left} more`));
  if (advice !== undefined) output.line(`  ${output.style("cyan", "→")} ${plain(advice)}`);
}
