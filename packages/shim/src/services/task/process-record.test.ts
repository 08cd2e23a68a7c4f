import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { abortable } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { expect, it } from "vitest";
import type { Exit, Process } from "../../platform.ts";
import { ProcessRecord } from "./process-record.ts";
import type { TaskEvents } from "./task-events.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

it("keeps nothing of waits that were abandoned or answered", async () => {
  const exited = Promise.withResolvers<Exit>();
  let wait: Process["wait"] = (signal) => abortable(exited.promise, signal);
  const process: Partial<Process> = {
    execId: "",
    state: "created",
    pid: 1,
    exit: undefined,
    wait: (signal) => wait(signal),
  };
  const events = { exited: () => {} } as unknown as TaskEvents;
  const log = { log: () => {} };
  const record = new ProcessRecord({
    containerId: "c1",
    process: process as Process,
    ...{ events, log, clock: new ManualClock() },
  });
  const waitAndLeave = async (): Promise<WeakRef<object>> => {
    const caller = new AbortController();
    const waiting = record.wait(caller.signal);
    caller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    return new WeakRef(caller.signal);
  };
  const waitToTheEnd = async (): Promise<WeakRef<object>> => {
    const exit = { status: 0, exitedAt: new Date(0) };
    wait = async () => exit;
    expect(await record.wait(new AbortController().signal)).toBe(exit);
    return new WeakRef(exit);
  };
  const kept: WeakRef<object>[] = [];
  for (let count = 0; count < 20; count++) kept.push(await waitAndLeave());
  for (let count = 0; count < 20; count++) kept.push(await waitToTheEnd());
  wait = async () => ({ status: 0, exitedAt: new Date(0) });
  await new Promise(setImmediate);
  collectGarbage();
  // What the last call alone held may still be on the stack.
  expect(kept.filter((each) => each.deref() !== undefined).length).toBeLessThanOrEqual(1);
  exited.resolve({ status: 0, exitedAt: new Date(0) });
});
