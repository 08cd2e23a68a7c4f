import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { ClockedHarness, taskSpec } from "../testing/harness.ts";

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
    harness.container("t1").onGuestCall = never;
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
    harness.container("t1").onGuestCall = never;
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
    harness.container("t1").onGuestCall = () => slow.promise;
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

describe("a guest that has fallen silent, where a container of its pod is to be deleted", () => {
  const silent = "the guest has not answered for 750 ms";
  let release: PromiseWithResolvers<void>;
  beforeEach(async () => {
    await runInSandbox();
    await harness.runMember("t2");
    release = Promise.withResolvers();
    harness.sandbox.onDeleteContainer = () => release.promise;
    harness.sandbox.onPing = never;
    harness.container("t1").init.finish(3);
  });

  /** Expects the call to fail at that moment and not earlier. */
  async function refused(call: () => Promise<unknown>): Promise<void> {
    const others = harness.clock.sleepers;
    let outcome: unknown;
    const settled = call().then(
      () => {
        outcome = "answered";
      },
      (error: unknown) => {
        outcome = error;
      },
    );
    await expect.poll(() => harness.clock.sleepers).toBeGreaterThan(others);
    await harness.clock.advance(749);
    expect(outcome).toBeUndefined();
    await harness.clock.advance(1);
    await settled;
    expect(outcome).toMatchObject({ code: "Unavailable", message: expect.stringContaining(silent) });
  }
  const deleted = (id = "t1") => harness.task("Delete", { id });

  it("has Delete refused within a second, while State of others is answered as ever", async () => {
    const began = harness.clock.now().getTime();
    await refused(deleted);
    expect(harness.clock.now().getTime() - began).toBeLessThan(1_000);
    expect(await harness.task("State", { id: "t1" })).toMatchObject({ status: 3, exitStatus: 3 });
    expect(await harness.task("State", { id: "t2" })).toMatchObject({ status: 2 });
  });

  it("has it refused each time, and what is under way done once", async () => {
    for (let time = 0; time < 4; time++) await refused(deleted);
    expect(harness.sandbox.deletions).toBe(1);
    expect(harness.sandbox.stops).toBe(0);
  });

  it("has it done when it comes back, and the same answer for all who repeat it", async () => {
    await refused(deleted);
    harness.sandbox.onPing = async () => {};
    const repeated = deleted();
    release.resolve();
    const answer = await repeated;
    expect(answer).toMatchObject({ exitStatus: 3 });
    expect(await deleted()).toEqual(answer);
    expect(harness.sandbox.deletions).toBe(1);
    expect(harness.sandbox.container("t1")).toBeUndefined();
    expect((await harness.topics(6)).slice(-2)).toEqual(["/tasks/exit", "/tasks/delete"]);
  });

  it("has it done also where nobody asks again, and its id is free then", async () => {
    await refused(deleted);
    await expect(harness.runMember("t1")).rejects.toMatchObject({ code: "AlreadyExists" });
    release.resolve();
    await expect.poll(() => harness.sandbox.container("t1")).toBeUndefined();
    harness.sandbox.onPing = async () => {};
    await harness.runMember("t1");
    expect(await harness.task("State", { id: "t1" })).toMatchObject({ status: 2 });
  });

  it("has it tried anew where it failed when nobody waited for it", async () => {
    await refused(deleted);
    release.reject(new Error("not unmounted"));
    await expect.poll(() => harness.sandbox.deletions).toBe(1);
    harness.sandbox.onDeleteContainer = async () => {};
    harness.sandbox.onPing = async () => {};
    await expect.poll(() => deleted().then(({ exitStatus }) => exitStatus)).toBe(3);
  });

  it("loses its VM in the end, without which no task of the pod could be deleted, nor the pod", async () => {
    harness.sandbox.onStop = async () => {
      release.reject(new Error("the VM is ending"));
      harness.sandbox.onDeleteContainer = async () => {};
    };
    await refused(deleted);
    await harness.clock.advance(9_000);
    expect(harness.sandbox.stops).toBe(0);
    await harness.clock.advance(1_000);
    await expect.poll(() => harness.sandbox.state).toBe("stopped");
    expect(await deleted()).toMatchObject({ exitStatus: 3 });
    expect(await harness.task("Wait", { id: "t2" })).toMatchObject({ exitStatus: 255 });
    expect(await deleted("t2")).toMatchObject({ exitStatus: 255 });
  });

  it("keeps its VM for as long as its host is slow as well, or silent", async () => {
    await refused(deleted);
    harness.sandbox.onPingHost = () => harness.clock.delay(3_000);
    await harness.clock.advance(60_000);
    expect(harness.sandbox.stops).toBe(0);
    harness.sandbox.onPingHost = () => new Promise(() => {});
    await harness.clock.advance(60_000);
    expect(harness.sandbox.stops).toBe(0);
    release.resolve();
    await expect.poll(() => harness.sandbox.container("t1")).toBeUndefined();
  });

  it("keeps its VM when it comes back before that", async () => {
    await refused(deleted);
    await harness.clock.advance(9_000);
    harness.sandbox.onPing = async () => {};
    release.resolve();
    await expect.poll(() => harness.sandbox.container("t1")).toBeUndefined();
    await harness.clock.advance(60_000);
    expect(harness.sandbox.stops).toBe(0);
    expect(await harness.task("State", { id: "t2" })).toMatchObject({ status: 2 });
  });

  it("leaves nothing when the pod is shut down after that", async () => {
    await refused(deleted);
    harness.sandbox.onStop = async () => {
      release.reject(new Error("the VM is ending"));
      harness.sandbox.onDeleteContainer = async () => {};
    };
    await harness.client.call(Sandbox, "StopSandbox", { sandboxId: "s1", timeoutSecs: 5 });
    await harness.client.call(Sandbox, "ShutdownSandbox", { sandboxId: "s1" });
    expect(harness.sandbox.state).toBe("stopped");
    expect(harness.sandbox.containers()).toEqual([]);
    expect(harness.ended).toHaveLength(1);
  });

  it("has the creation of a task given up within a second too", async () => {
    const begun = Promise.withResolvers<void>();
    const undone = Promise.withResolvers<never>();
    harness.sandbox.onCreateContainer = () => {
      begun.resolve();
      return undone.promise;
    };
    const creating = harness.runMember("t3").catch((error: unknown) => error);
    await begun.promise;
    await refused(() => deleted("t3"));
    undone.reject(new Error("undone"));
    expect(await creating).toBeInstanceOf(Error);
  });

  it("loses its VM in the end also where it is a creation that it does not undo, once however often that is asked", async () => {
    const begun = Promise.withResolvers<void>();
    const undone = Promise.withResolvers<never>();
    harness.sandbox.onCreateContainer = () => {
      begun.resolve();
      return undone.promise;
    };
    harness.sandbox.onStop = async () => undone.reject(new Error("the VM is ending"));
    const creating = harness.runMember("t3").catch((error: unknown) => error);
    await begun.promise;
    for (let time = 0; time < 3; time++) await refused(() => deleted("t3"));
    await harness.clock.advance(12_000);
    expect(await creating).toBeInstanceOf(Error);
    expect(harness.sandbox.stops).toBe(1);
  });

  it("has the end of its VM tried again where the host could not end it", async () => {
    harness.sandbox.onStop = () => Promise.reject(new Error("the host is out of memory"));
    await refused(deleted);
    await harness.clock.advance(12_000);
    expect(harness.sandbox.stops).toBe(1);
    harness.sandbox.onStop = async () => {
      release.reject(new Error("the VM is ending"));
      harness.sandbox.onDeleteContainer = async () => {};
    };
    await harness.clock.advance(12_000);
    await expect.poll(() => harness.sandbox.state).toBe("stopped");
    expect(await deleted()).toMatchObject({ exitStatus: 3 });
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
    harness.container("t1").onGuestCall = () =>
      Promise.reject(Object.assign(new Error("not now"), { code: "Internal" }));
    await expect(harness.task("Kill", { id: "t1", signal: 9, all: true })).rejects.toMatchObject({ code: "Internal" });
    harness.container("t1").onGuestCall = never;
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    await pass(10_000);
    await killing;
    expect(init.exit?.status).toBe(255);
    expect(harness.sandbox.stops).toBe(1);
  });

  it("is told with its exit also where the kill breaks off with the VM", async () => {
    await runInSandbox();
    const { init } = harness.container("t1");
    init.isImmortal = true;
    const broken = Promise.withResolvers<void>();
    harness.container("t1").onGuestCall = () => broken.promise;
    harness.sandbox.onStop = async () => {
      broken.reject(Object.assign(new Error("the bridge is closed"), { code: "Unavailable" }));
      await harness.clock.delay(100);
    };
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    const settled = killing.then(
      () => "killed",
      (error: unknown) => String(error),
    );
    await pass(10_000);
    await pass(100);
    expect(await settled).toBe("killed");
    expect(init.exit?.status).toBe(255);
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
      const others = harness.clock.sleepers;
      const failing = expect(harness.task("Delete", { id })).rejects.toMatchObject({ code: "DeadlineExceeded" });
      await expect.poll(() => harness.clock.sleepers).toBeGreaterThan(others);
      await pass(4_000);
      await failing;
    }
    await harness.clock.advance(60_000);
    expect(harness.sandbox.stops).toBe(0);
    gone.resolve();
    const deleting = harness.task("Delete", { id: "t1" });
    // The deletion of the sandbox's task, at the same time, is reported first.
    await pass(5_000);
    expect(await deleting).toMatchObject({ exitStatus: 3 });
  });
});

describe("a guest without a processor to spare", () => {
  /** Answers every call after this time. */
  const slowly = (milliseconds: number) => (): Promise<void> => harness.clock.delay(milliseconds);

  it("gets longer for figures, for as long as it answers at all", async () => {
    await runInSandbox();
    harness.container("t1").onGuestCall = slowly(10_000);
    harness.sandbox.onPing = slowly(1_000);
    const stats = harness.task("Stats", { id: "t1" });
    await pass(10_000);
    expect((await stats).stats).toBeDefined();
  });

  it("gets longer to delete, for as long as it answers at all", async () => {
    await runInSandbox();
    harness.sandbox.onDeleteContainer = slowly(15_000);
    harness.sandbox.onPing = slowly(500);
    harness.container("t1").init.finish(3);
    const deleting = harness.task("Delete", { id: "t1" });
    await pass(15_000);
    expect(await deleting).toMatchObject({ exitStatus: 3 });
  });

  it("gets longer to delete, however slow it is, where its host has none either", async () => {
    await runInSandbox();
    harness.sandbox.onDeleteContainer = slowly(15_000);
    harness.sandbox.onPing = slowly(3_000);
    harness.sandbox.onPingHost = slowly(3_000);
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
    // All calls have arrived, each with its own limit.
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
      // The deletions share the processor.
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
    harness.container("t1").onGuestCall = slowly(12_000);
    harness.sandbox.onPing = slowly(4_500);
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    await pass(12_000);
    await killing;
    expect(harness.sandbox.stops).toBe(0);
  });
});
