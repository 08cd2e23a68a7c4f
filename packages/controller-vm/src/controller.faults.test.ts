import { resourcePaths } from "@uvm-shim/hcs-schema";
import { Callers, type Fault, faultCases, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cpuGroupAnnotation } from "./resources.ts";
import { document, eventually, settle, vmOn } from "./testing/index.ts";

const group = "5a3b9c64-1f0e-4c86-8f0b-6a6e9d8f7c21";

function setting(faults: ReadonlyMap<number, Fault>) {
  const callers = new Callers();
  return { ...vmOn(new ScriptedCalls(faults, () => callers.abortAll())), callers };
}

type Vm = ReturnType<typeof vmOn>["vm"];

/** The operations on a running VM. */
const uses: readonly ((vm: Vm, signal: AbortSignal) => Promise<unknown>)[] = [
  (vm, signal) => vm.update({ resources: { memory: { limit: 2 ** 29 }, cpu: { quota: 50_000 } } }, signal),
  (vm, signal) => vm.update({ annotations: { [cpuGroupAnnotation]: group } }, signal),
  (vm, signal) => vm.update({ policyFragment: { fragment: "AAAA" } }, signal),
  (vm, signal) => vm.statistics(signal),
  (vm, signal) => vm.dumpStacks(signal),
  async (vm, signal) => {
    const process = await vm.execute({ args: ["true"] }, signal);
    await process.close();
    await process.wait();
  },
];

async function scenario(faults: ReadonlyMap<number, Fault>) {
  const { host, clock, vm, callers } = setting(faults);
  const waiting = vm.wait();
  await eventually(
    clock,
    callers.attempt((signal) => vm.create({ document }, signal)),
  );
  await eventually(
    clock,
    callers.attempt((signal) => vm.start(signal)),
  );
  const states = [vm.state.kind];
  // A refused caller tries once more, since an update that failed half-way can be repeated.
  for (let attempt = 0; attempt < 2; attempt++) {
    for (const use of uses) {
      await eventually(
        clock,
        callers.attempt((signal) => use(vm, signal)),
      );
    }
    states.push(vm.state.kind);
  }
  // The second attempt joins a first one that is still in progress; the third meets no fault.
  for (let attempt = 0; attempt < 3; attempt++) {
    await eventually(
      clock,
      callers.attempt((signal) => vm.terminate(signal)),
    );
  }
  await settle();
  return { host, clock, vm, states, waiting, calls: host.script.calls };
}

const faultless = await scenario(new Map());

const used = [
  ...["modify", "updateMemoryLimits", "modify", "modify", "injectPolicyFragment", "properties", "dumpStacks"],
  "execute",
];

describe("a fault at any one call", () => {
  it("makes calls", () => {
    expect(faultless.calls.map(({ name }) => name)).toEqual([
      ...["createComputeSystem", "listen", "listen", "listen", "start", "connectGuest", "closeListener"],
      ...["closeListener", ...used, ...used, "terminate", "closeBridge", "closeListener", "closeSystem"],
    ]);
    expect(faultless.states).toEqual(["Running", "Running", "Running"]);
  });

  it.each(faultCases(faultless.calls.length))("$fault at call $call leaves nothing behind", async ({ call, fault }) => {
    const { host, clock, vm, states, waiting } = await scenario(new Map([[call, fault]]));
    // The steps of start after the guest is up may fail, unless the caller gave up.
    const expected =
      call === 0 ? "NotCreated" : call < 6 || (call < 8 && fault.startsWith("hang")) ? "Invalid" : "Running";
    expect(states).toEqual([expected, expected, expected]);
    expect(host.guests.flatMap(({ processes }) => processes).filter(({ isOpen }) => isOpen)).toEqual([]);
    if (expected === "Running") {
      // Whatever failed once, the repetition reached the requested state.
      const settings = new Map(host.system.modifications.map(({ ResourcePath, Settings }) => [ResourcePath, Settings]));
      expect(Object.fromEntries(settings)).toEqual({
        [resourcePaths.memorySize]: 512,
        [resourcePaths.processorLimits]: { Limit: 25_000 },
        [resourcePaths.cpuGroup]: { Id: group },
      });
    }
    expect(vm.state.kind).toBe("Terminated");
    expect(host.leftovers()).toEqual([]);
    expect(clock.sleepers).toBe(0);
    expect(await waiting).toBe(vm.exit);
  });
});

describe("random operations with random faults", () => {
  const step = fc.constantFrom("create", "start", "use", "terminate", "exit", "loseService", "loseBridge", "rest");
  const fault = fc.tuple(fc.nat(30), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));

  it("leave it Running only with a guest and no exit, and it can always be ended", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.array(fault, { maxLength: 5 }), async (steps, faults) => {
        const { host, clock, vm, callers } = setting(new Map(faults));
        let released = 0;
        const waiting = vm.wait().then((exit) => {
          released += 1;
          return exit;
        });
        const pending: Promise<unknown>[] = [];
        for (const name of steps) {
          const system = host.systems.at(-1);
          if (name === "create") pending.push(callers.attempt((signal) => vm.create({ document }, signal)));
          else if (name === "start") pending.push(callers.attempt((signal) => vm.start(signal)));
          else if (name === "use") pending.push(...uses.map((use) => callers.attempt((signal) => use(vm, signal))));
          else if (name === "terminate") pending.push(callers.attempt((signal) => vm.terminate(signal)));
          else if (name === "exit") system?.exit(5, "UnexpectedExit");
          else if (name === "loseService") system?.loseService();
          else if (name === "loseBridge") host.guests.at(-1)?.lose(new Error("reset"));
          else {
            await settle();
            clock.jumpToNext();
            await settle();
            // A VM that has lost its bridge is being ended, which may take some time.
            if (vm.state.kind === "Running" && clock.sleepers === 0) {
              expect(vm.exit).toBeUndefined();
              expect(host.guest.isOpen).toBe(true);
            }
          }
        }
        await eventually(clock, Promise.all(pending));
        // Each fault strikes once, and an attempt may join one in progress.
        for (let attempt = 0; attempt <= 2 * faults.length; attempt++) {
          await eventually(
            clock,
            callers.attempt((signal) => vm.terminate(signal)),
          );
        }
        await settle();
        expect(vm.state).toEqual({ kind: "Terminated", exit: vm.exit });
        expect(await waiting).toBe(vm.exit);
        expect(released).toBe(1);
        expect(host.leftovers()).toEqual([]);
        expect(host.guests.flatMap(({ processes }) => processes).filter(({ isOpen }) => isOpen)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
