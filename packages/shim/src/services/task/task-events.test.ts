import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { TaskEvents } from "./task-events.ts";

const exit = { status: 137, exitedAt: new Date("2026-01-02T03:04:05Z") };

/** Events for a containerd that acknowledges them one by one when the test says so. */
function bench() {
  const clock = new ManualClock();
  const published: { readonly topic: string; readonly isKept: boolean; readonly take: () => void }[] = [];
  const counts: unknown[] = [];
  const publish = (topic: string, _type: string, _event: Uint8Array, { isKept = false } = {}): Promise<void> => {
    const { promise, resolve: take } = Promise.withResolvers<void>();
    published.push({ topic, isKept, take });
    return promise;
  };
  const log = {
    log: (_level: string, message: string, fields?: object) =>
      void (message === "out-of-memory events combined into one" && counts.push(fields)),
  };
  return { clock, published, counts, events: new TaskEvents({ publish }, { clock, log }) };
}

const flush = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("repeated out-of-memory kills", () => {
  it("are reported once until containerd has accepted the event, and then again only after a while, with a count", async () => {
    const { clock, published, counts, events } = bench();
    for (let count = 0; count < 4_141; count++) events.outOfMemory("c1");
    expect(published.map(({ topic }) => topic)).toEqual(["/tasks/oom"]);
    await clock.advance(60_000);
    expect(published).toHaveLength(1);
    published[0]?.take();
    await flush();
    await clock.advance(4_999);
    expect([published.length, counts]).toEqual([1, []]);
    await clock.advance(1);
    expect(counts).toEqual([{ container: "c1", count: 4_140 }]);
    expect(published).toHaveLength(2);
    published[1]?.take();
    await flush();
    await clock.advance(5_000);
    expect([published.length, clock.sleepers]).toEqual([2, 0]);
    events.outOfMemory("c1");
    expect(published).toHaveLength(3);
  });

  it("are reported for each container separately", () => {
    const { published, events } = bench();
    for (const id of ["c1", "c2", "c1", "c2"]) events.outOfMemory(id);
    expect(published).toHaveLength(2);
  });

  it("are not reported after the container has ended, and at once for the next one with its id", async () => {
    const { clock, published, counts, events } = bench();
    for (let count = 0; count < 3; count++) events.outOfMemory("c1");
    events.exited("c1", "", 7, exit);
    expect(counts).toEqual([{ container: "c1", count: 2 }]);
    events.outOfMemory("c1");
    for (const { take } of published) take();
    await flush();
    await clock.advance(60_000);
    expect(published.map(({ topic }) => topic)).toEqual(["/tasks/oom", "/tasks/exit", "/tasks/oom"]);
    expect(clock.sleepers).toBe(0);
  });

  it("leave no timers when the shim ends", async () => {
    const { clock, published, events } = bench();
    for (let count = 0; count < 3; count++) events.outOfMemory("c1");
    published[0]?.take();
    await flush();
    expect(clock.sleepers).toBe(1);
    events.close();
    await flush();
    expect([clock.sleepers, published.length]).toEqual([0, 1]);
  });
});

it("exits of inits and execs are never dropped, and no other event is kept", () => {
  const { published, events } = bench();
  const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
  events.created({ id: "c1", bundle: "/b", rootfs: [], stdio, pid: 7 });
  events.started("c1", 7);
  events.execAdded("c1", "e1");
  events.execStarted("c1", "e1", 8);
  events.outOfMemory("c1");
  events.paused("c1");
  events.resumed("c1");
  events.exited("c1", "e1", 8, exit);
  events.exited("c1", "", 7, exit);
  events.deleted("c1", 7, exit);
  expect(published.filter(({ isKept }) => isKept).map(({ topic }) => topic)).toEqual(["/tasks/exit", "/tasks/exit"]);
});
