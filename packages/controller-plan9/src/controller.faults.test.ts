import { Callers, type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plan9On } from "./testing/index.ts";

describe("random operations with random faults", () => {
  const step = fc.record({
    kind: fc.constantFrom("reserve", "map", "unmap"),
    hostPath: fc.constantFrom("/a", "/b"),
    readOnly: fc.boolean(),
    /** Which of the reservations made so far. */
    which: fc.nat(20),
    /** Waits until everything is at rest, before the next step. */
    rest: fc.boolean(),
  });
  const fault = fc.tuple(fc.nat(40), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));

  it("keep counts equal to holders, account for every share, and can always be cleaned up", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.array(fault, { maxLength: 8 }), async (steps, faults) => {
        const callers = new Callers();
        const { vm, plan9 } = plan9On(new ScriptedCalls(new Map(faults), () => callers.abortAll()));
        const holders = new Map<string, string>();
        const made: string[] = [];
        let pending: Promise<unknown>[] = [];

        const rest = async (): Promise<void> => {
          await Promise.all(pending);
          pending = [];
          const perPath = new Map<string, number>();
          for (const { hostPath, holders: count } of plan9.shares) {
            perPath.set(hostPath, (perPath.get(hostPath) ?? 0) + count);
          }
          const expected = new Map<string, number>();
          for (const path of holders.values()) expected.set(path, (expected.get(path) ?? 0) + 1);
          expect(perPath).toEqual(expected);
          // What the VM has is accounted for: nothing is shared or mounted that would never be removed.
          const tracked = new Set(plan9.shares.filter(({ state }) => state !== "Reserved").map(({ name }) => name));
          for (const name of [...vm.shares.keys(), ...vm.mounted.values()]) expect(tracked).toContain(name);
        };

        for (const { kind, hostPath, readOnly, which, rest: atRest } of steps) {
          const reservation = made[which % Math.max(made.length, 1)];
          if (kind === "reserve") {
            const id = await plan9.reserve({ hostPath, readOnly });
            made.push(id);
            holders.set(id, hostPath);
          } else if (reservation !== undefined && kind === "map") {
            pending.push(callers.attempt((signal) => plan9.mapToGuest(reservation, signal)));
          } else if (reservation !== undefined) {
            pending.push(
              callers.attempt(async (signal) => {
                await plan9.unmapFromGuest(reservation, signal);
                holders.delete(reservation);
              }),
            );
          }
          if (atRest) await rest();
        }
        await rest();
        // Each fault strikes once, so everything is released after as many rounds as there are faults.
        for (let round = 0; round <= faults.length; round++) {
          await Promise.all(made.map((id) => callers.attempt((signal) => plan9.unmapFromGuest(id, signal))));
        }
        expect([...vm.shares, ...vm.mounted]).toEqual([]);
        expect(plan9.shares).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
