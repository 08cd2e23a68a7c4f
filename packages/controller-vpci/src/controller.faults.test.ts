import { Callers, type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { vpciOn } from "./testing/index.ts";

describe("random operations with random faults", () => {
  const step = fc.record({
    kind: fc.constantFrom("reserve", "map", "unmap"),
    deviceInstancePath: fc.constantFrom("PCIP\\A", "pcip\\a", "PCIP\\B"),
    virtualFunction: fc.nat(1),
    /** Which of the reservations made so far. */
    which: fc.nat(20),
    /** Waits until everything is at rest, before the next step. */
    rest: fc.boolean(),
  });
  const fault = fc.tuple(fc.nat(40), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));

  it("keep counts equal to holders, account for every assignment, and can always be cleaned up", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.array(fault, { maxLength: 8 }), async (steps, faults) => {
        const callers = new Callers();
        const { vm, vpci } = vpciOn(new ScriptedCalls(new Map(faults), () => callers.abortAll()));
        const holders = new Map<string, string>();
        const made: string[] = [];
        let pending: Promise<unknown>[] = [];

        const rest = async (): Promise<void> => {
          await Promise.all(pending);
          pending = [];
          const expected = new Map<string, number>();
          for (const name of holders.values()) expected.set(name, (expected.get(name) ?? 0) + 1);
          const counted = vpci.devices.map(
            (device) =>
              [`${device.deviceInstancePath.toLowerCase()}/${device.virtualFunction}`, device.holders] as const,
          );
          expect(new Map(counted)).toEqual(expected);
          // What the VM has is accounted for: nothing is assigned that would never be removed.
          const tracked = vpci.devices.filter(({ state }) => state === "Ready" || state === "AssignedInvalid");
          for (const guid of vm.assigned.keys()) expect(tracked.map(({ vmBusGuid }) => vmBusGuid)).toContain(guid);
          for (const { state, vmBusGuid } of tracked)
            if (state === "Ready") expect([...vm.assigned.keys()]).toContain(vmBusGuid);
        };

        for (const { kind, deviceInstancePath, virtualFunction, which, rest: atRest } of steps) {
          const reservation = made[which % Math.max(made.length, 1)];
          if (kind === "reserve") {
            const id = await vpci.reserve({ deviceInstancePath, virtualFunction });
            made.push(id);
            holders.set(id, `${deviceInstancePath.toLowerCase()}/${virtualFunction}`);
          } else if (reservation !== undefined && kind === "map") {
            pending.push(callers.attempt((signal) => vpci.mapToGuest(reservation, signal)));
          } else if (reservation !== undefined) {
            pending.push(
              callers.attempt(async (signal) => {
                await vpci.unmapFromGuest(reservation, signal);
                holders.delete(reservation);
              }),
            );
          }
          if (atRest) await rest();
        }
        await rest();
        // Each fault strikes once, so everything is released after as many rounds as there are faults.
        for (let round = 0; round <= faults.length; round++) {
          await Promise.all(made.map((id) => callers.attempt((signal) => vpci.unmapFromGuest(id, signal))));
        }
        expect([...vm.assigned]).toEqual([]);
        expect(vpci.devices).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
