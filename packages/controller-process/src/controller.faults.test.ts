import { type Fault, faultCases, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ProcessBench, terminal } from "./testing/index.ts";

/** The life of a process whose caller aborts what hangs, and then ends it. */
async function scenario(faults: ReadonlyMap<number, Fault>) {
  const impatient = new AbortController();
  const script = new ScriptedCalls(faults, () => impatient.abort());
  const bench = new ProcessBench(script);
  const { controller } = bench;
  const { signal } = impatient;
  let reached = "nothing";
  try {
    await controller.create({ stdio: terminal }, signal);
    reached = "created";
    await controller.start(signal);
    reached = "started";
    await controller.resize(80, 24, signal);
    await controller.kill(15, signal);
    reached = "killed";
  } catch {
    // Whoever gives up ends it.
  }
  await controller.abandon(137);
  for (const process of bench.guest.processes) process.exit(143);
  if (reached !== "nothing") await controller.wait();
  // What came after everybody had left is given back once the event loop comes round.
  await new Promise(setImmediate);
  return { bench, reached, calls: script.calls.length };
}

const faultless = await scenario(new Map());

describe("a fault at any one call", () => {
  it("has calls to hit", () => {
    expect([faultless.reached, faultless.calls]).toEqual(["killed", 4]);
  });

  it.each(faultCases(faultless.calls))(
    "$fault at call $call leaves no stdio open and an exit",
    async ({ call, fault }) => {
      const { bench, reached } = await scenario(new Map([[call, fault]]));
      // Of an answer that was lost nobody has the ends; the opener closes those itself.
      if (reached !== "nothing") expect(bench.upstream.opened.map(({ isClosed }) => isClosed)).toEqual([true]);
      expect(bench.controller.exit === undefined).toBe(reached === "nothing");
      expect(bench.clock.pending).toEqual([]);
    },
  );
});
