import { defineTable, Lifecycle, observe, type StateData, systemClock } from "@uvm-shim/lifecycle";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { uvmshim } from "../../generated/messages.js";
import type { RecordReader } from "../../record/ring.ts";
import { Harness } from "../../testing/harness.ts";
import { PendingCalls } from "../state-dump.ts";
import { loadingDiagnostics } from "./handlers.ts";
import type { StateTree } from "./state.ts";

const { Inspect } = uvmshim.diagnostics.v1;

/** Lines that a test adds. */
class FakeReader implements RecordReader {
  readonly lines: string[] = [];
  #added = Promise.withResolvers<void>();

  add(...lines: string[]): void {
    this.lines.push(...lines);
    this.#added.resolve();
    this.#added = Promise.withResolvers<void>();
  }

  read(after: number, most: number) {
    const lines = this.lines.slice(after, after + most);
    return { lines, last: after + lines.length, lost: 0 };
  }

  next(): Promise<void> {
    return this.#added.promise;
  }
}

let harness: Harness;
const events = new FakeReader();
beforeEach(async () => {
  harness = new Harness();
  events.lines.length = 0;
  harness.records = { events, log: new FakeReader() };
  await harness.open();
});
afterEach(() => harness.close());

async function state(): Promise<StateTree> {
  return JSON.parse((await harness.client.call(Inspect, "State", {})).text);
}

const door = defineTable<"Open" | "Closed", "close">({
  subject: "container",
  initial: "Open",
  states: ["Open", "Closed"],
  transitions: [
    { kind: "operation", name: "close", from: ["Open", "Closed"], success: "Closed", failure: "unchanged" },
  ],
});

function newDoor(id: string) {
  return new Lifecycle<StateData<"Open" | "Closed">, "Open" | "Closed", "close">(door, id, { kind: "Open" });
}

describe("Metadata", () => {
  it("names the shim", async () => {
    const named = { name: "containerd-shim-fake-v2", version: "1.2.3", pid: 77, shimId: "c1", namespace: "ns" };
    expect(await harness.client.call(Inspect, "Metadata", {})).toMatchObject({ ...named, flavour: "" });
    await harness.runTask("c1");
    const { flavour, runtime, startedAt } = await harness.client.call(Inspect, "Metadata", {});
    expect(flavour).toBe("lcow");
    expect(runtime).toBe(`Node ${process.version}`);
    expect(Date.parse(startedAt)).toBeLessThanOrEqual(Date.now());
  });
});

describe("State", () => {
  it("has the shim alone while there is no sandbox", async () => {
    const { shim, sandbox, vm, containers, calls, events } = await state();
    expect(shim).toMatchObject({ name: "containerd-shim-fake-v2", id: "c1", namespace: "ns", pid: 77 });
    expect(shim.memory.rss).toBeGreaterThan(0);
    expect({ sandbox, vm, containers }).toEqual({ containers: [] });
    expect(calls).toMatchObject([{ method: "uvmshim.diagnostics.v1.Inspect/State" }]);
    expect(events).toEqual({ queued: 0, dropped: 0 });
  });

  it("has the pod with everything in it, and nothing that may be secret", async () => {
    const secret = "5ecret";
    const specification = {
      process: { args: ["true", secret], env: [`TOKEN=${secret}`] },
      annotations: { key: secret },
    };
    const stdio = { stdin: "/in", stdout: `binary:///bin/logger?token=${secret}`, stderr: "", terminal: false };
    await harness.createTask("c1", stdio, specification);
    await harness.task("Start", { id: "c1" });
    const tree = await state();
    expect(tree).toMatchObject({
      version: 1,
      shim: { flavour: "lcow" },
      host: { kind: "emulated", address: "/run/host.sock", connected: true },
      sandbox: { id: "c1", namespace: "ns", mode: "classic", os: "linux", state: "running", ready: true },
      vm: { id: "c1@vm", state: "Running", isLost: false, held: ["bridge"] },
      containers: [
        {
          ...{ id: "c1", state: "Running", paused: false, held: ["root", "init process"] },
          processes: [{ execId: "", state: "running", pid: 4000, stdio: { stdin: "/in", stdout: expect.any(String) } }],
        },
      ],
    });
    expect(JSON.stringify(tree)).not.toContain(secret);
  });

  it("answers while a creation hangs, and shows where", async () => {
    const held = Promise.withResolvers<void>();
    harness.platform.onCreateSandbox = (_, signal) =>
      observe({ kind: "phase", name: "create VM", activityId: "a" }, () =>
        observe({ kind: "host-call", name: "createComputeSystem", attributes: { id: "vm" } }, async () => {
          await Promise.race([held.promise, new Promise((resolve) => signal?.addEventListener("abort", resolve))]);
        }),
      );
    const creating = harness.createTask("c1");
    await expect.poll(async () => (await state()).sandbox).toMatchObject({ id: "c1", state: "creating", ready: false });
    const { calls, work, containers } = await state();
    expect(calls).toContainEqual(expect.objectContaining({ method: "containerd.task.v3.Task/Create" }));
    expect(containers).toEqual([{ id: "c1", state: "creating", paused: false, held: [], processes: [] }]);
    const within = ["containerd.task.v3.Task/Create", "create sandbox", "create VM"];
    const call = { kind: "host-call", name: "createComputeSystem", attributes: { id: "vm" }, activityId: "a", within };
    expect(work).toContainEqual(expect.objectContaining(call));
    held.resolve();
    await creating;
    expect((await state()).work).not.toContainEqual(expect.objectContaining({ name: "create VM" }));
  });

  it("tells how long something waits, whatever becomes of the clock meanwhile", async () => {
    await harness.close();
    harness = new Harness();
    let shift = 0;
    harness.clock = { ...systemClock, now: () => new Date(Date.now() + shift) };
    await harness.open();
    const held = Promise.withResolvers<void>();
    const waiting = observe({ kind: "phase", name: "wait" }, () => held.promise);
    for (shift of [-3_600_000, 3_600_000]) {
      const { work } = await state();
      expect(work.map(({ milliseconds }) => Math.floor(milliseconds / 60_000))).toEqual([0]);
    }
    held.resolve();
    await waiting;
    const calls = new PendingCalls(() => 7);
    await calls.during("Create", 3_600_000, async () => {
      expect(calls.pending()).toEqual([{ method: "Create", began: 3_600_000, milliseconds: 0 }]);
    });
  });

  it("tells since when each part is in its state", async () => {
    await harness.runTask("c1");
    const life = newDoor("c1");
    life.succeed("close", { kind: "Closed" });
    const [since] = (await state()).containers.map((container) => container.since);
    expect(since).toEqual(expect.any(String));
    // What leaves it in its state does not change since when.
    life.succeed("close", { kind: "Closed" });
    const { containers, machines } = await state();
    expect(containers[0]?.since).toBe(since);
    const machine = { subject: "container", id: "c1", state: "Closed", operation: "close", outcome: "success" };
    expect(machines).toContainEqual({ ...machine, since });
  });

  it("keeps the latest changes of so many machines", async () => {
    for (let index = 0; index < 600; index++) {
      newDoor(`d${index}`).succeed("close", { kind: "Closed" });
    }
    const { machines } = await state();
    expect(machines).toHaveLength(512);
    expect(machines.at(-1)?.id).toBe("d599");
  });
});

describe("Events", () => {
  it("answers the lines after a number, and where they end", async () => {
    events.add("one", "two", "three");
    expect(await harness.client.call(Inspect, "Events", { after: 1, most: 1 })).toMatchObject({
      text: "two\n",
      last: 2,
      lost: 0,
    });
    expect(await harness.client.call(Inspect, "Events", { after: 2 })).toMatchObject({
      text: "three\n",
      last: 3,
      lost: 0,
    });
    expect(await harness.client.call(Inspect, "Events", { after: 3 })).toMatchObject({ text: "", last: 3, lost: 0 });
  });

  it("waits for a line if the caller wants to", async () => {
    const waiting = harness.client.call(Inspect, "Events", { waitMs: 20_000 });
    await expect
      .poll(async () => (await state()).calls.map(({ method }) => method))
      .toContain("uvmshim.diagnostics.v1.Inspect/Events");
    events.add("one");
    expect(await waiting).toMatchObject({ text: "one\n", last: 1, lost: 0 });
    expect(await harness.client.call(Inspect, "Events", { after: 1, waitMs: 1 })).toMatchObject({
      text: "",
      last: 1,
      lost: 0,
    });
  });

  it("cuts an answer that would be too long, and goes on from there", async () => {
    const line = "x".repeat(1_000_000);
    events.add(line, line, line, "end");
    const { text, last } = await harness.client.call(Inspect, "Events", {});
    expect([text.length, last]).toEqual([2_000_002, 2]);
    expect((await harness.client.call(Inspect, "Events", { after: 2 })).text).toBe(`${line}\nend\n`);
  });

  it("cuts it by bytes, which are what ttrpc counts", async () => {
    const line = "€".repeat(900_000);
    events.add(line, "end");
    expect((await harness.client.call(Inspect, "Events", {})).last).toBe(1);
  });

  it("waits for so many at the same time", async () => {
    const waits = Array.from({ length: 64 }, () => harness.client.call(Inspect, "Events", { waitMs: 20_000 }));
    const one = harness.client.call(Inspect, "Events", { waitMs: 20_000 });
    await expect(one).rejects.toMatchObject({ code: "ResourceExhausted" });
    events.add("one");
    expect((await Promise.all(waits)).map(({ text }) => text)).toEqual(waits.map(() => "one\n"));
    expect(await harness.client.call(Inspect, "Events", { after: 1, waitMs: 1 })).toMatchObject({ text: "" });
  });

  it("is refused by a shim that records nothing", async () => {
    await harness.close();
    harness = new Harness();
    await harness.open();
    await expect(harness.client.call(Inspect, "Log", {})).rejects.toMatchObject({ code: "Unavailable" });
  });
});

describe("dumps", () => {
  it("of the shim are text", async () => {
    await harness.runTask("c1");
    const { text } = await harness.client.call(Inspect, "Dump", {});
    expect(text).toMatch(/^task: task=c1 state=present processes=1$/m);
    expect(text).toMatch(/^memory: rss=\d+/m);
  });

  it("of the VM have what host and guest say, or why they do not", async () => {
    await expect(harness.client.call(Inspect, "DumpVm", {})).rejects.toMatchObject({ code: "FailedPrecondition" });
    await harness.runTask("c1");
    harness.sandbox.onVmProperties = async () => {
      throw new Error("the host is gone");
    };
    const { text } = await harness.client.call(Inspect, "DumpVm", {});
    expect(JSON.parse(text)).toMatchObject({
      vm: { id: "c1@vm", state: "Running" },
      properties: { error: "the host is gone" },
      guestStacks: "guest stacks",
    });
  });
});

it("loads what answers again after it could not be loaded", async () => {
  let attempts = 0;
  const diagnostics = loadingDiagnostics({} as Parameters<typeof loadingDiagnostics>[0], async () => {
    attempts += 1;
    if (attempts === 1) throw new Error("EMFILE: too many open files");
    return await import("./diagnostics.ts");
  });
  await expect(diagnostics()).rejects.toThrow("EMFILE");
  expect(await diagnostics()).toBe(await diagnostics());
  expect(attempts).toBe(2);
});

describe("a flood of diagnostic calls", () => {
  it("does not hold up calls of containerd", async () => {
    await harness.runTask("c1");
    const flood = Array.from({ length: 2_000 }, () => harness.client.call(Inspect, "State", {}));
    const settled = Promise.allSettled(flood);
    let isFloodOver = false;
    void settled.then(() => {
      isFloodOver = true;
    });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ pid: 4000 });
    expect(isFloodOver).toBe(false);
    const outcomes = await settled;
    const refused = outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }) => reason.code);
    expect(new Set(refused)).toEqual(new Set(["ResourceExhausted"]));
    expect(outcomes.length - refused.length).toBeGreaterThanOrEqual(64);
  });

  it("asks a guest that does not answer only so much", async () => {
    await harness.runTask("c1");
    let asked = 0;
    const answer = Promise.withResolvers<string>();
    harness.sandbox.onDumpStacks = () => {
      asked += 1;
      return answer.promise;
    };
    const calls = Array.from({ length: 20 }, () => harness.client.call(Inspect, "DumpVm", {}).catch(() => {}));
    await expect.poll(() => asked).toBe(8);
    expect(await harness.client.call(Inspect, "Metadata", {})).toMatchObject({ shimId: "c1" });
    answer.resolve("late");
    await Promise.all(calls);
    expect(asked).toBe(8);
  });
});
