import { Callers, type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ContainerBench, layersMount, noStdio, specification } from "./testing/index.ts";

const pipe = "\\\\.\\pipe\\engine";
const spec = specification({
  mounts: [
    { destination: "C:\\data", source: "C:\\data" },
    { destination: pipe, source: pipe },
  ],
  windows: { hyperv: {}, credentialSpec: "{}" },
});
const exec = { spec: { args: ["cmd"], cwd: "C:\\" }, stdio: noStdio };

describe("any sequence of operations with any faults", () => {
  const step = fc.record({
    kind: fc.constantFrom(
      ...(["create", "start", "exec", "addMount", "update", "pids", "kill", "initExits", "guestEnds"] as const),
      ...(["time", "terminate", "delete"] as const),
    ),
    /** Whether programs react to a shutdown of the container. */
    isDeaf: fc.boolean(),
    /** Waits until everything is at rest, before the next step. */
    rest: fc.boolean(),
  });
  const fault = fc.tuple(fc.nat(45), fc.constantFrom<Fault>("fail", "lose", "hang", "hangDone"));

  it("publishes the exit after the end, and leaves nothing once it is deleted", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), fc.array(fault, { maxLength: 6 }), async (steps, faults) => {
        const callers = new Callers();
        const script = new ScriptedCalls(new Map(faults), () => callers.abortAll());
        const bench = new ContainerBench(script);
        const { controller, guest, clock } = bench;
        let pending: Promise<unknown>[] = [];
        let execs = 0;

        const run = (kind: (typeof steps)[number]["kind"], isDeaf: boolean): Promise<unknown> =>
          callers.attempt(async (signal) => {
            const container = guest.containers.at(-1);
            if (container !== undefined) container.ignoresShutdown = isDeaf;
            switch (kind) {
              case "create":
                return await controller.create({ spec, rootfs: [layersMount], stdio: noStdio }, signal);
              case "start":
                return await controller.init.start(signal);
              case "exec": {
                execs += 1;
                const made = await controller.createProcess({ execId: `e${execs}`, ...exec }, signal);
                return await made.start(signal);
              }
              case "addMount":
                return await controller.addMount(
                  { hostPath: "C:\\data", containerPath: "C:\\x", readOnly: true },
                  signal,
                );
              case "update":
                return await controller.update({ memory: { limit: 2 ** 30 } }, signal);
              case "pids":
                return await controller.pids(signal);
              case "kill":
                return await controller.killAll(9, signal);
              case "initExits":
                return container?.processesRun[0]?.exit(7);
              case "guestEnds":
                return container?.end(5);
              case "time":
                return await clock.advance(30_000);
              case "terminate":
                return await controller.terminate(signal);
              case "delete":
                return await controller.delete(signal);
            }
          });
        const quiet = async (): Promise<void> => {
          for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => void setImmediate(resolve));
        };
        /** Lets time pass, and late answers arrive, until what was begun has come to its end. */
        const rest = async (): Promise<void> => {
          const done = Promise.all(pending).then(() => true);
          pending = [];
          for (let round = 0; round < 20; round++) {
            await quiet();
            if (await Promise.race([done, Promise.resolve(false)])) break;
            await clock.advance(30_000);
            script.answerLate();
          }
          expect(await Promise.race([done, Promise.resolve(false)])).toBe(true);
          const { state } = controller;
          if (state === "Running") expect(guest.known).toContain("c1");
          const exit = state === "NotCreated" ? undefined : controller.process("")?.exit;
          if (exit !== undefined) expect(["Stopped", "Invalid"]).toContain(state);
          if (exit !== undefined && bench.warnings.length === 0) expect(bench.leftovers).toEqual([]);
        };

        for (const { kind, isDeaf, rest: atRest } of steps) {
          pending.push(run(kind, isDeaf));
          if (atRest) await rest();
        }
        await rest();
        // Each fault strikes once, so after as many rounds as there are faults all is given back.
        for (let round = 0; round <= faults.length; round++) {
          pending.push(run("terminate", false).then(() => run("delete", false)));
          await rest();
        }
        expect(bench.leftovers).toEqual([]);
        expect(controller.processes().filter(({ exit }) => exit === undefined)).toEqual([]);
        expect(clock.sleepers).toBe(0);
      }),
      { numRuns: 300 },
    );
  }, 60_000);
});
