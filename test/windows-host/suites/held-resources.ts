import { expect, vi } from "vitest";
import type { Counts } from "../test-host-controls.ts";
import { controls } from "./system-under-test.ts";

/** What the DLLs hold for this process, and which calls misused them; empty when all is well. */
export function held(): Partial<Counts> {
  return Object.fromEntries(
    Object.entries(controls.counts()).filter(([name, count]) => name !== "lastMisuse" && count !== 0),
  );
}

/** As above, when calls that were answered are over: their operations close, and their callbacks return, a little later. */
export async function heldAtRest(): Promise<Partial<Counts>> {
  return await vi.waitFor(
    () => {
      const now = held();
      expect(now).not.toHaveProperty("operations");
      expect(now).not.toHaveProperty("callbacks");
      return now;
    },
    { timeout: 10_000 },
  );
}
