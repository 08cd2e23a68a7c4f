import type { Subject } from "./subject.ts";

/** A decoder may take so long of a processor for one input, in milliseconds. */
export const mostCaseMs = 1_000;

/** Feeds a decoder one input. Answers with what is wrong about it, if anything is. */
export async function judge(subject: Subject, input: Buffer): Promise<string | undefined> {
  try {
    const result = subject.decode(input);
    if (result instanceof Promise) await result;
  } catch (error) {
    const name = error instanceof Error ? error.name : typeof error;
    if (!subject.refusals.includes(name))
      return `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  return pollution();
}

const known = new Set(Reflect.ownKeys(Object.prototype));

/** What every object would have from now on. */
function pollution(): string | undefined {
  for (const key in {}) return `polluted every object with ${JSON.stringify(key)}`;
  if (Reflect.ownKeys(Object.prototype).length === known.size) return undefined;
  return "polluted Object.prototype";
}
