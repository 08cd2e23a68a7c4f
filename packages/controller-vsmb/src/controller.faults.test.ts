import { Callers, type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { vsmbOn } from "./testing/index.ts";

describe("any sequence of operations with any faults", () => {
  const step = fc.record({
    kind: fc.constantFrom("reserve", "map", "unmap"),
    what: fc.constantFrom("C:\\a", "c:\\A\\", "C:\\a\\one", "C:\\a\\two", "C:\\b\\one", "\\\\.\\pipe\\p"),
    readOnly: fc.boolean(),
    /** Which of the reservations made so far. */
    which: fc.nat(20),
    /** Waits until everything is at rest, before the next step. */
    rest: fc.boolean(),
  });
  const fault = fc.tuple(fc.nat(40), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));

  it("keeps what is in use, accounts for every share and pipe, and can always be cleaned up", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 30 }),
        fc.array(fault, { maxLength: 8 }),
        fc.boolean(),
        async (steps, faults, noDirectMap) => {
          const callers = new Callers();
          const script = new ScriptedCalls(new Map(faults), () => callers.abortAll());
          const { vm, vsmb, pipes, leftovers } = vsmbOn(script, { noDirectMap });
          const controllerOf = new Map<string, typeof vsmb | typeof pipes>();
          const holders = new Set<string>();
          /** Paths that users have been told and not given back. */
          const inUse = new Map<string, string>();
          const made: string[] = [];
          let pending: Promise<unknown>[] = [];

          const reserve = (what: string, readOnly: boolean): Promise<string> => {
            if (what.startsWith("\\\\.")) return pipes.reserve(what);
            const kind = /\\(one|two)$/.test(what) ? "file" : "directory";
            return vsmb.reserve({ hostPath: what, kind, readOnly });
          };
          const unmap = (id: string): Promise<unknown> =>
            callers.attempt(async (signal) => {
              try {
                await controllerOf.get(id)?.unmapFromGuest(id, signal);
                holders.delete(id);
              } finally {
                // Whoever gave it back does not use it, even if that failed.
                inUse.delete(id);
              }
            });
          const map = (id: string): Promise<unknown> =>
            callers.attempt(async (signal) => {
              const path = await controllerOf.get(id)?.mapToGuest(id, signal);
              if (holders.has(id) && path !== undefined) inUse.set(id, path);
            });
          const rest = async (): Promise<void> => {
            await Promise.all(pending);
            pending = [];
            const counted = [...vsmb.shares, ...pipes.pipes].reduce((sum, each) => sum + each.holders, 0);
            expect(counted).toBe(holders.size);
            // What the VM has is accounted for: nothing is shared that nobody would remove or use again.
            const tracked = new Set(vsmb.shares.filter(({ state }) => state !== "Reserved").map(({ name }) => name));
            for (const name of vm.shares.keys()) expect(tracked).toContain(name);
            for (const path of vm.pipes) expect(pipes.pipes.map(({ hostPath }) => hostPath)).toContain(path);
            // What the VM is known to allow it allows.
            for (const { name, allowedFiles, state } of vsmb.shares) {
              if (state === "Added") expect(vm.shares.get(name)?.AllowedFiles ?? []).toEqual(allowedFiles);
            }
          };

          for (const { kind, what, readOnly, which, rest: atRest } of steps) {
            const id = made[which % Math.max(made.length, 1)];
            if (kind === "reserve") {
              const reservation = await reserve(what, readOnly);
              made.push(reservation);
              holders.add(reservation);
              controllerOf.set(reservation, what.startsWith("\\\\.") ? pipes : vsmb);
            } else if (id !== undefined && kind === "map") pending.push(map(id));
            else if (id !== undefined) pending.push(unmap(id));
            if (!atRest) continue;
            await rest();
            for (const path of inUse.values()) expect(vm.canOpen(path)).toBe(true);
          }
          await rest();
          // Each fault strikes once, so after as many rounds as there are faults all is given back.
          for (let round = 0; round <= faults.length; round++) await Promise.all(made.map(unmap));
          expect(leftovers()).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
