import { parseRecordLine, type RecordLine } from "@uvm-shim/shim/record";
import { TtrpcError } from "@uvm-shim/ttrpc";
import { type Context, connectTo } from "../context.ts";
import { DiagError, exitCodes } from "../errors.ts";
import { plain } from "../output/plain.ts";
import { nameOf, type Pod } from "../pods/pod.ts";
import { readRecord } from "../pods/records.ts";
import type { ShimClient } from "./client.ts";

export type RecordKind = "Events" | "Log";

/** How long one call waits for the next line. */
const waitMs = 20_000;

/** A pod's lines of one kind: from its shim, or from its file where the shim is gone or does not answer. */
export async function recordOf(pod: Pod, kind: RecordKind, context: Context): Promise<readonly RecordLine[]> {
  if (pod.socket === undefined && pod.record !== undefined) return ofKind(readRecord(pod.record), kind);
  try {
    const client = await connectTo(pod, context);
    try {
      return await readAll(client, kind, context.now());
    } finally {
      client.close();
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof DiagError) || error.exitCode !== exitCodes.failed || pod.record === undefined) throw error;
    context.output.note(`${plain(nameOf(pod))}: this is its record, since ${plain(error.message)}`);
    return ofKind(readRecord(pod.record), kind);
  }
}

/** Calls back for every line that there is and that comes, until the signal aborts or the shim ends. */
export async function followRecord(
  pod: Pod,
  kind: RecordKind,
  context: Context,
  onLine: (line: RecordLine, text: string) => void,
): Promise<void> {
  const { signal, output } = context;
  const client = await connectTo(pod, context);
  try {
    for (let after = 0; !signal.aborted; ) {
      const { text, last, lost } = await client.records(kind, after, waitMs);
      if (lost > 0) output.note(`${lost} lines are not kept any more`);
      for (const one of text.split("\n")) {
        const line = parseRecordLine(one);
        if (line !== undefined) onLine(line, one);
      }
      after = Math.max(after, last);
    }
  } catch (error) {
    if (signal.aborted) return;
    const { cause } = error as Error;
    if (!(cause instanceof TtrpcError) || cause.code !== "Unavailable") throw error;
    output.note(`the shim of ${plain(nameOf(pod))} has ended`);
  } finally {
    client.close();
  }
}

/** All lines up to now: a shim may go on logging faster than it is read. */
async function readAll(client: ShimClient, kind: RecordKind, now: Date): Promise<readonly RecordLine[]> {
  const lines: RecordLine[] = [];
  for (let after = 0; ; ) {
    const { text, last, lost } = await client.records(kind, after, 0);
    const texts = text.split("\n").filter((line) => line !== "");
    const read = texts.flatMap((one) => parseRecordLine(one) ?? []);
    lines.push(...(lost > 0 ? withGap(read, lost) : read));
    const newest = Date.parse(lines.at(-1)?.time ?? "");
    if (texts.length === 0 || last <= after || newest > now.getTime()) return lines;
    after = last;
  }
}

/** With the line that a file has where lines were left out: the numbers of those around it are furthest apart there. */
function withGap(lines: readonly RecordLine[], omitted: number): readonly RecordLine[] {
  let widest = 0;
  let place = 0;
  for (const [index, { seq }] of lines.entries()) {
    const width = seq - (lines[index - 1]?.seq ?? 0);
    if (width > widest) [widest, place] = [width, index];
  }
  const next = lines[place];
  if (next === undefined) return lines;
  const { seq, time } = next;
  return lines.toSpliced(place, 0, { seq, time, type: "omitted", lines: omitted });
}

function ofKind(lines: readonly RecordLine[], kind: RecordKind): readonly RecordLine[] {
  return lines.filter(({ type }) => (type === "log") === (kind === "Log"));
}
