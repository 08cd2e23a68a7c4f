import { Callers, type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { disk, scsiOn, whole } from "./testing/index.ts";

describe("random operations with random faults", () => {
  const paths = ["/a.vhd", "/b.vhd", "/c.vhd"];
  const step = fc.record({
    kind: fc.constantFrom("reserve", "map", "unmap"),
    path: fc.constantFrom(...paths),
    partition: fc.constantFrom(0, 1),
    /** Which of the reservations made so far. */
    which: fc.nat(20),
    /** Waits until everything is at rest, before the next step. */
    rest: fc.boolean(),
  });
  const fault = fc.tuple(fc.nat(40), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));

  it("keep counts equal to holders, one disk per slot, and can always be cleaned up", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.array(fault, { maxLength: 8 }), async (steps, faults) => {
        const callers = new Callers();
        const { vm, scsi } = scsiOn(new ScriptedCalls(new Map(faults), () => callers.abortAll()));
        const holders = new Map<string, string>();
        const made: string[] = [];
        let pending: Promise<unknown>[] = [];

        const rest = async (): Promise<void> => {
          await Promise.all(pending);
          pending = [];
          const expected = new Map<string, number>();
          for (const place of holders.values()) expected.set(place, (expected.get(place) ?? 0) + 1);
          const views = scsi.disks;
          const actual = views.flatMap(({ hostPath, mounts }) =>
            mounts.map((mount) => [`${hostPath}#${mount.partition}`, mount.holders.length] as const),
          );
          expect(new Map(actual)).toEqual(expected);
          const slots = views.map(({ controller, lun }) => `${controller}:${lun}`);
          expect(new Set(slots).size).toBe(slots.length);
          // What the VM has is accounted for: nothing is attached or mounted that would never be removed.
          for (const [slot, path] of vm.attached) {
            const view = views.find((one) => one.hostPath === path);
            expect(`${view?.controller}:${view?.lun}`).toBe(slot);
            expect(view?.state).not.toBe("Reserved");
          }
        };

        for (const { kind, path, partition, which, rest: atRest } of steps) {
          const reservation = made[which % Math.max(made.length, 1)];
          if (kind === "reserve") {
            const id = await scsi.reserve(disk(path), whole({ partition }));
            made.push(id);
            holders.set(id, `${path}#${partition}`);
          } else if (reservation !== undefined && kind === "map") {
            pending.push(callers.attempt((signal) => scsi.mapToGuest(reservation, signal)));
          } else if (reservation !== undefined) {
            pending.push(
              callers.attempt(async (signal) => {
                await scsi.unmapFromGuest(reservation, signal);
                holders.delete(reservation);
              }),
            );
          }
          if (atRest) await rest();
        }
        await rest();
        // Each fault strikes once, so everything is released after as many rounds as there are faults.
        for (let round = 0; round <= faults.length; round++) {
          await Promise.all(made.map((id) => callers.attempt((signal) => scsi.unmapFromGuest(id, signal))));
        }
        expect([...vm.attached, ...vm.mounted, ...vm.ejected]).toEqual([]);
        expect(scsi.disks).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
