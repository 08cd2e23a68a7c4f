import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import path from "node:path";
import { longestRecordLine, parseRecord, parseRecordLine, type RecordLine } from "@uvm-shim/shim/record";
import { DiagError, exitCodes } from "../errors.ts";
import type { Finding } from "./pod.ts";

const ending = ".jsonl";
/** A shim keeps its file far smaller. */
const largestRecord = 64 * 1024 * 1024;

/** Pods that have a record. */
export function recordsIn(folder: string | undefined): readonly (Finding & { readonly record: string })[] {
  if (folder === undefined) return [];
  return namesIn(folder).flatMap((namespace) =>
    namesIn(path.join(folder, namespace)).flatMap((file) => {
      if (!file.endsWith(ending)) return [];
      return [{ namespace, id: file.slice(0, -ending.length), record: path.join(folder, namespace, file) }];
    }),
  );
}

/** Reads a record. Half a line at its end, which a killed shim leaves, is no fault; a file without a line of one is. */
export function readRecord(file: string): readonly RecordLine[] {
  let text: string;
  try {
    const { size } = statSync(file);
    if (size > largestRecord) throw new Error(`it has ${size} bytes, expected at most ${largestRecord}`);
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new DiagError(exitCodes.failed, `cannot read the record ${file}: ${(cause as Error).message}`, { cause });
  }
  const { lines, invalid } = parseRecord(text);
  if (lines.length === 0 && invalid > 0) {
    throw new DiagError(exitCodes.failed, `${file} is no record of a pod: none of its lines can be read`);
  }
  return lines;
}

/** The pod's bundle, as the first line of its record names it. */
export function bundleInRecord(file: string): string | undefined {
  let beginning: string;
  try {
    const descriptor = openSync(file, "r");
    try {
      const buffer = Buffer.alloc(longestRecordLine);
      beginning = buffer.toString("utf8", 0, readSync(descriptor, buffer));
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // It was removed meanwhile, with a pod that ended in order.
    return undefined;
  }
  const line = parseRecordLine(beginning.trimStart().split("\n", 1)[0] ?? "");
  return line?.type === "header" ? line.bundle : undefined;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
