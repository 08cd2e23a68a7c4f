import { readFileSync } from "node:fs";
import path from "node:path";

const longestTail = 4096;

/** Receives the standard error of the serving process: a crash of Node itself is reported nowhere else. */
export function stderrFile(bundle: string): string {
  return path.join(bundle, "panic.log");
}

/** The end of the file; empty when there is none. */
export function lastStderr(bundle: string): string {
  try {
    return readFileSync(stderrFile(bundle)).subarray(-longestTail).toString("utf8").trim();
  } catch {
    return "";
  }
}
