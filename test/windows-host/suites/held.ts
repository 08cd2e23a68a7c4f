import type { Counts } from "../test-host-controls.ts";
import { controls } from "./system-under-test.ts";

/** What the DLLs hold for this process, and what was done to them that nobody may do; empty when all is well. */
export function held(): Partial<Counts> {
  return Object.fromEntries(
    Object.entries(controls.counts()).filter(([name, count]) => name !== "lastMisuse" && count !== 0),
  );
}
