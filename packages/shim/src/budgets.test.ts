import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "./generated/messages.js";
import { ClockedHarness, taskSpec } from "./testing/harness.ts";

const never = (): Promise<never> => new Promise(() => {});
const { Sandbox } = containerd.runtime.sandbox.v1;

let harness: ClockedHarness;
beforeEach(async () => {
  harness = new ClockedHarness();
  await harness.open();
});
afterEach(() => harness.close());

const pass = (milliseconds: number): Promise<void> => harness.pass(milliseconds);

/** A sandbox of the Sandbox API with one task that runs. */
async function runInSandbox(): Promise<void> {
  await harness.runSandbox();
  await harness.runMember("t1");
}

describe("a guest that hangs", () => {
  it("lets Stats fail in time, Pids tell what is known without it, and State answer", async () => {
    await runInSandbox();
    harness.container("t1").onAsk = never;
    const failing = expect(harness.task("Stats", { id: "t1" })).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: "stats of task t1: not done within 1500 ms",
    });
    await pass(1_500);
    await failing;
    const listing = harness.task("Pids", { id: "t1" });
    await pass(500);
    expect((await listing).processes.map(({ pid }) => pid)).toEqual([4000]);
    expect(await harness.task("State", { id: "t1" })).toMatchObject({ id: "t1", status: 2 });
  });

  it("lets Delete fail in time, go on, and answer whoever asks again", async () => {
    await runInSandbox();
    const release = Promise.withResolvers<void>();
    harness.sandbox.onDeleteContainer = () => release.promise;
    harness.container("t1").init.finish(3);
    const failing = expect(harness.task("Delete", { id: "t1" })).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await pass(4_000);
    await failing;
    const second = harness.task("Delete", { id: "t1" });
    release.resolve();
    const answer = await second;
    expect(answer).toMatchObject({ exitStatus: 3 });
    expect(await harness.task("Delete", { id: "t1" })).toEqual(answer);
    expect(harness.sandbox.deletions).toBe(1);
    expect(harness.sandbox.stops).toBe(0);
  });

  it("loses its VM when it cannot even kill", async () => {
    await runInSandbox();
    harness.container("t1").onAsk = never;
    harness.sandbox.onPing = never;
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    const waiting = harness.task("Wait", { id: "t1" });
    killing.catch(() => {});
    await pass(5_000);
    await pass(500);
    expect(await waiting).toMatchObject({ exitStatus: 255 });
    expect(harness.sandbox.stops).toBe(1);
  });

  it("keeps its VM as long as it gives a sign of life", async () => {
    await runInSandbox();
    const slow = Promise.withResolvers<void>();
    harness.container("t1").onAsk = () => slow.promise;
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    await pass(5_000);
    slow.resolve();
    await killing;
    expect(harness.sandbox.stops).toBe(0);
  });

  it("does not keep the deletion of a classic sandbox's task, with which the VM goes", async () => {
    await harness.runTask("c1");
    const gone = Promise.withResolvers<void>();
    harness.sandbox.onDeleteContainer = () => gone.promise;
    harness.sandbox.onPing = never;
    harness.sandbox.onStop = async () => {
      gone.reject(new Error("the VM is ending"));
      harness.sandbox.onDeleteContainer = async () => {};
    };
    harness.container("c1").init.finish(0);
    const deleting = harness.task("Delete", { id: "c1" });
    await pass(1_500);
    await pass(500);
    expect(await deleting).toMatchObject({ exitStatus: 0 });
    expect(harness.sandbox.state).toBe("stopped");
    expect(harness.sandbox.deletions).toBe(2);
  });

  it("is told by PingSandbox", async () => {
    await runInSandbox();
    await harness.client.call(Sandbox, "PingSandbox", { sandboxId: "s1" });
    harness.sandbox.onPing = never;
    const pinging = harness.client.call(Sandbox, "PingSandbox", { sandboxId: "s1" });
    const failing = expect(pinging).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await pass(1_500);
    await failing;
  });
});

describe("a container that the guest says it has killed, and that goes on", () => {
  it.each([true, false])("loses its VM after a while, which is told with the exit (all: %j)", async (all) => {
    await runInSandbox();
    harness.container("t1").init.isImmortal = true;
    await harness.task("Kill", { id: "t1", signal: 9, all });
    const waiting = harness.task("Wait", { id: "t1" });
    await pass(9_999);
    expect(harness.sandbox.stops).toBe(0);
    await pass(1);
    expect(await waiting).toMatchObject({ exitStatus: 255 });
    expect(harness.sandbox.stops).toBe(1);
    expect(await harness.task("State", { id: "t1" })).toMatchObject({ status: 3 });
  });

  it("has so much time once, however often it is killed", async () => {
    await runInSandbox();
    harness.container("t1").init.isImmortal = true;
    for (let count = 0; count < 4; count++) {
      await harness.task("Kill", { id: "t1", signal: 9 });
      await pass(2_500);
    }
    expect(await harness.task("Wait", { id: "t1" })).toMatchObject({ exitStatus: 255 });
    expect(harness.sandbox.stops).toBe(1);
  });

  it("loses its VM too when the guest refuses to kill it, or does not answer that alone", async () => {
    await runInSandbox();
    const { init } = harness.container("t1");
    init.isImmortal = true;
    harness.container("t1").onAsk = () => Promise.reject(Object.assign(new Error("not now"), { code: "Internal" }));
    await expect(harness.task("Kill", { id: "t1", signal: 9, all: true })).rejects.toMatchObject({ code: "Internal" });
    harness.container("t1").onAsk = never;
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    await pass(10_000);
    await killing;
    expect(init.exit?.status).toBe(255);
    expect(harness.sandbox.stops).toBe(1);
  });

  it("keeps its VM while what it wrote is on its way to the client", async () => {
    await runInSandbox();
    const { init } = harness.container("t1");
    init.isImmortal = true;
    await harness.task("Kill", { id: "t1", signal: 9 });
    await pass(5_000);
    init.isDraining = true;
    await harness.clock.advance(40_000);
    expect(harness.sandbox.stops).toBe(0);
    init.finish(137);
    expect(await harness.task("Wait", { id: "t1" })).toMatchObject({ exitStatus: 137 });
    await harness.clock.advance(40_000);
    expect(harness.sandbox.stops).toBe(0);
  });

  it("keeps its VM, and has anew the time, whenever another that was killed has ended", async () => {
    await runInSandbox();
    await harness.runMember("t2");
    for (const id of ["t1", "t2"]) {
      harness.container(id).init.isImmortal = true;
      await harness.task("Kill", { id, signal: 9 });
    }
    await pass(6_000);
    harness.container("t1").init.finish(137);
    await harness.clock.advance(6_000);
    expect(harness.sandbox.stops).toBe(0);
    await harness.clock.advance(6_000);
    expect(harness.sandbox.stops).toBe(1);
  });

  it("has longer from a guest that is slow in everything, but not for ever", async () => {
    await runInSandbox();
    harness.container("t1").init.isImmortal = true;
    harness.sandbox.onPing = () => harness.clock.delay(4_000);
    await harness.task("Kill", { id: "t1", signal: 9 });
    await pass(60_000);
    expect(harness.sandbox.stops).toBe(0);
    await pass(30_000);
    expect(harness.sandbox.stops).toBe(1);
  });

  it("is killed anew where its VM could not be ended", async () => {
    await runInSandbox();
    harness.container("t1").init.isImmortal = true;
    harness.sandbox.onStop = () => Promise.reject(new Error("the host does not answer"));
    await harness.task("Kill", { id: "t1", signal: 9 });
    await pass(10_000);
    expect(harness.sandbox.stops).toBe(1);
    harness.sandbox.onStop = async () => {};
    await harness.task("Kill", { id: "t1", signal: 9 });
    await pass(10_000);
    expect(await harness.task("Wait", { id: "t1" })).toMatchObject({ exitStatus: 255 });
  });

  it("is waited for when the signal was another, or an exec's", async () => {
    await runInSandbox();
    harness.container("t1").init.isImmortal = true;
    await harness.task("Kill", { id: "t1", signal: 15 });
    const value = Buffer.from(JSON.stringify(taskSpec.process));
    await harness.task("Exec", { id: "t1", execId: "e1", spec: { type_url: "process", value } });
    await harness.task("Start", { id: "t1", execId: "e1" });
    for (const process of harness.container("t1").processes()) process.isImmortal = true;
    await harness.task("Kill", { id: "t1", execId: "e1", signal: 9 });
    await harness.clock.advance(120_000);
    expect(harness.sandbox.stops).toBe(0);
  });
});

describe("a host without a processor to spare", () => {
  it("gets longer to delete, for as long as it answers at all", async () => {
    await runInSandbox();
    harness.sandbox.onDeleteContainer = () => harness.clock.delay(15_000);
    harness.sandbox.onPingHost = () => harness.clock.delay(3_000);
    harness.container("t1").init.finish(3);
    const deleting = harness.task("Delete", { id: "t1" });
    await pass(15_000);
    expect(await deleting).toMatchObject({ exitStatus: 3 });
  });

  it("keeps nobody when it says nothing, and no VM is ended for that", async () => {
    await harness.runTask("c1");
    await harness.runMember("t1", "c1");
    const gone = Promise.withResolvers<void>();
    harness.sandbox.onDeleteContainer = () => gone.promise;
    harness.sandbox.onPingHost = never;
    for (const id of ["t1", "c1"]) {
      harness.container(id).init.finish(3);
      const failing = expect(harness.task("Delete", { id })).rejects.toMatchObject({ code: "DeadlineExceeded" });
      await pass(4_000);
      await failing;
    }
    expect(harness.sandbox.stops).toBe(0);
    gone.resolve();
    expect(await harness.task("Delete", { id: "t1" })).toMatchObject({ exitStatus: 3 });
  });
});

describe("a guest without a processor to spare", () => {
  /** It answers whatever it is asked after so long. */
  const slowly = (milliseconds: number) => (): Promise<void> => harness.clock.delay(milliseconds);

  it("gets longer for figures, for as long as it answers at all", async () => {
    await runInSandbox();
    harness.container("t1").onAsk = slowly(10_000);
    harness.sandbox.onPing = slowly(1_000);
    const stats = harness.task("Stats", { id: "t1" });
    await pass(10_000);
    expect((await stats).stats).toBeDefined();
  });

  it("gets longer to delete", async () => {
    await runInSandbox();
    harness.sandbox.onDeleteContainer = slowly(15_000);
    harness.sandbox.onPing = slowly(3_000);
    harness.container("t1").init.finish(3);
    const deleting = harness.task("Delete", { id: "t1" });
    await pass(15_000);
    expect(await deleting).toMatchObject({ exitStatus: 3 });
  });

  it("gets longer for many deletions at once, as long as one after the other is done", async () => {
    await runInSandbox();
    const ids = Array.from({ length: 20 }, (_, index) => `many${index}`);
    for (const id of ids) {
      await harness.runMember(id);
      harness.container(id).init.finish(0);
    }
    let turn: Promise<unknown> = Promise.resolve();
    harness.sandbox.onDeleteContainer = async () => {
      turn = turn.then(() => harness.clock.delay(1_000));
      await turn;
    };
    const deletions = ids.map((id) => harness.task("Delete", { id }));
    // All have come, and each has its bound.
    await expect.poll(() => harness.clock.sleepers).toBeGreaterThanOrEqual(20);
    await harness.clock.advance(20_000);
    expect(await Promise.all(deletions)).toHaveLength(20);
  });

  it("gets longer for many deletions at once also where it does all that it is asked to beside each other", async () => {
    await runInSandbox();
    const ids = Array.from({ length: 60 }, (_, index) => `many${index}`);
    for (const id of ids) {
      await harness.runMember(id);
      harness.container(id).init.finish(0);
    }
    let underWay = 0;
    harness.sandbox.onDeleteContainer = async () => {
      underWay += 1;
      // Each has its share of the processor.
      for (let left = 300; left > 0; left -= 100 / underWay) await harness.clock.delay(100);
      underWay -= 1;
    };
    const deletions = ids.map((id) => harness.task("Delete", { id }));
    await expect.poll(() => harness.clock.sleepers).toBeGreaterThanOrEqual(60);
    await harness.clock.advance(60_000);
    expect(await Promise.all(deletions)).toHaveLength(60);
  });

  it("keeps its VM when it answers within all of the time that a kill may take, not just at the end of it", async () => {
    await runInSandbox();
    harness.container("t1").onAsk = slowly(12_000);
    harness.sandbox.onPing = slowly(4_500);
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    await pass(12_000);
    await killing;
    expect(harness.sandbox.stops).toBe(0);
  });
});
