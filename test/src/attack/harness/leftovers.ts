import type { Holdings } from "../../leaks/compare.ts";
import { waitForNothingLeft } from "../../leaks/holdings.ts";
import { shimScope } from "../../leaks/shim-scope.ts";

const leftMs = 15_000;

/** What is left over once all had time to go. Loop devices are the machine's: others may have made some meanwhile. */
export async function leftOver(before: Holdings, directory: string, signal: AbortSignal): Promise<readonly string[]> {
  const left = await waitForNothingLeft(before, shimScope([directory]), leftMs, signal);
  return left.filter((line) => !line.startsWith("left over: loop device ") || line.includes(directory));
}
