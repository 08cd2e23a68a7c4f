/** Whether the entries of packages can be imported, and leave nothing running. */
import { describe } from "@uvm-shim/test-support/command";
import type { Consumer } from "./consumer.ts";
import type { Runtime } from "./runtimes.ts";

const importTimeoutMs = 30_000;

export interface ImportResult {
  readonly problems: readonly string[];
  /** It could not be imported because vitest was not there. */
  readonly needsVitest: boolean;
}

export async function importEntry(consumer: Consumer, entry: string, nodes: readonly Runtime[]): Promise<ImportResult> {
  const source = `const entry = await import(${JSON.stringify(entry)}); process.stdout.write(String(Object.keys(entry).length));`;
  const problems: string[] = [];
  for (const { title, program } of nodes) {
    const result = await consumer.run(program, ["--input-type=module", "--eval", source], {
      timeoutMs: importTimeoutMs,
    });
    if (result.status === 0 && result.stderr === "") continue;
    if (/Cannot find package 'vitest'/.test(result.stderr)) return { problems: [], needsVitest: true };
    problems.push(`${entry} on ${title}: ${describe(result)}`);
  }
  return { problems, needsVitest: false };
}
