import { readFileSync } from "node:fs";
import path from "node:path";

const longestLastWords = 4096;

/** Where what a serving shim says on standard error goes: a crash of the runtime itself has no other place. */
export function stderrFile(bundle: string): string {
  return path.join(bundle, "panic.log");
}

/** The end of what it said; empty when it said nothing. */
export function lastWords(bundle: string): string {
  try {
    return readFileSync(stderrFile(bundle)).subarray(-longestLastWords).toString("utf8").trim();
  } catch {
    return "";
  }
}
