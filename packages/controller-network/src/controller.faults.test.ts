import { Callers, type Fault, faultCases, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Flavour, flavours, guidOf, NetworkBench } from "./testing/index.ts";

/** Setup, a sync after a change of the namespace, and teardown. */
async function scenario(flavour: Flavour, faults: ReadonlyMap<number, Fault>) {
  const callers = new Callers();
  const script = new ScriptedCalls(faults, () => callers.abortAll());
  const bench = await NetworkBench.make(flavour, { script, names: ["a_eth1", "b_eth0"] });
  const { controller } = bench;
  await callers.attempt((signal) => controller.setup(signal));
  await bench.addEndpoint({ Name: "c_eth2" });
  const leaving = controller.nics[0]?.endpointId;
  if (leaving !== undefined) await bench.removeEndpoint(leaving);
  await callers.attempt((signal) => controller.sync(signal));
  // The one fault strikes once, so the second round meets none.
  for (let round = 0; round < 2; round++) await callers.attempt((signal) => controller.teardown(signal));
  return { bench, calls: script.calls.length };
}

const expectedCalls = { lcow: 18, wcow: 24 };

describe.each(flavours)("a fault at any one call, %s", async (flavour) => {
  const faultless = await scenario(flavour, new Map());

  it("makes calls", () => {
    expect(faultless.calls).toBe(expectedCalls[flavour]);
    expect(faultless.bench.left).toEqual([]);
  });

  it.each(faultCases(faultless.calls))("$fault at call $call leaves nothing behind", async ({ call, fault }) => {
    const { bench } = await scenario(flavour, new Map([[call, fault]]));
    expect(bench.left).toEqual([]);
    expect(bench.controller.nics).toEqual([]);
    expect(bench.controller.state.kind).toBe("TornDown");
  });
});

describe("random operations with random faults", () => {
  const step = fc.record({
    kind: fc.constantFrom("setup", "sync", "sync", "teardown", "add endpoint", "remove endpoint", "abort"),
    which: fc.nat(5),
    /** Waits until everything is at rest, before the next step. */
    rest: fc.boolean(),
  });
  const fault = fc.tuple(fc.nat(60), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));

  it.each(flavours)("account for everything, and can always be torn down, %s", async (flavour) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.array(fault, { maxLength: 8 }), async (steps, faults) => {
        const callers = new Callers();
        const script = new ScriptedCalls(new Map(faults), () => callers.abortAll());
        const bench = await NetworkBench.make(flavour, { script, names: ["x_eth1", "y_eth0"] });
        const { controller } = bench;
        const present = new Set([guidOf(1), guidOf(2)]);
        let pending: Promise<unknown>[] = [];

        const rest = async (): Promise<void> => {
          await Promise.all(pending);
          pending = [];
          // What host and guest have is tracked: nothing is left that would never be removed.
          const tracked = new Set(controller.nics.map(({ id }) => id));
          for (const id of [
            ...bench.networks.nics.keys(),
            ...bench.linux.adapters.keys(),
            ...bench.windows.nics.keys(),
          ]) {
            expect(tracked).toContain(id);
          }
          const endpoints = controller.nics.map(({ endpointId }) => endpointId);
          expect(new Set(endpoints).size).toBe(endpoints.length);
          if (controller.state.kind === "NotConfigured" || controller.state.kind === "TornDown") {
            expect(bench.left).toEqual([]);
          }
        };

        for (const { kind, which, rest: atRest } of steps) {
          if (kind === "setup" || kind === "sync" || kind === "teardown") {
            pending.push(callers.attempt((signal) => controller[kind](signal)));
          } else if (kind === "add endpoint") {
            if (present.size < 6) present.add(await bench.addEndpoint({ Name: `n_eth${which}` }));
          } else if (kind === "remove endpoint") {
            const id = [...present][which % Math.max(present.size, 1)];
            if (id !== undefined && present.delete(id)) await bench.removeEndpoint(id);
          } else callers.abortAll();
          if (atRest) await rest();
        }
        await rest();
        // Each fault strikes once, so everything is released after as many rounds as there are faults.
        for (let round = 0; round <= faults.length; round++) {
          await callers.attempt((signal) => controller.teardown(signal));
        }
        expect(bench.left).toEqual([]);
        expect(controller.nics).toEqual([]);
        expect(controller.state.kind).toBe("TornDown");
      }),
      { numRuns: 300 },
    );
  });
});
