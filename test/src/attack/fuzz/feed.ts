import { readFileSync } from "node:fs";
import { useRunFolder } from "@uvm-shim/test-support/run-folders";
import { judge, mostCaseMs } from "./judge.ts";
import { findSubject } from "./subjects/index.ts";

/** Feeds a decoder one input that is in a file, and says what comes of it; the exit code says whether that is well. */
export async function feed({ decoder, input }: { readonly decoder: string; readonly input: string }): Promise<number> {
  useRunFolder("uvm-fuzz-");
  const bytes = readFileSync(input);
  const started = performance.now();
  const problem = await judge(findSubject(decoder), bytes);
  const milliseconds = performance.now() - started;
  process.stdout.write(
    `${decoder} took ${milliseconds.toFixed(1)} ms for ${bytes.length} bytes and ${problem ?? "did well"}\n`,
  );
  return problem === undefined && milliseconds <= mostCaseMs ? 0 : 1;
}
