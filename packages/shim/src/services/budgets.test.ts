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
  it("makes Stats fail in time, while Pids answers from what the shim knows, and State answers", async () => {
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

  it("makes Delete fail in time, continue, and answer a repeated call", async () => {
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

  it("loses its VM when it does not even answer a kill", async () => {
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

  it("keeps its VM as long as it answers pings", async () => {
    await runInSandbox();
    const slow = Promise.withResolvers<void>();
    harness.container("t1").onGuestCall = () => slow.promise;
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    await pass(5_000);
    slow.resolve();
    await killing;
    expect(harness.sandbox.stops).toBe(0);
  });

  it("does not hold up the deletion of a classic sandbox's task, which ends the VM", async () => {
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

  it("makes PingSandbox fail", async () => {
    await runInSandbox();
    await harness.client.call(Sandbox, "PingSandbox", { sandboxId: "s1" });
    harness.sandbox.onPing = never;
    const pinging = harness.client.call(Sandbox, "PingSandbox", { sandboxId: "s1" });
    const failing = expect(pinging).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await pass(1_500);
    await failing;
  });
});

describe("a guest that has stopped answering while a container of its pod is being deleted", () => {
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

  it("makes Delete fail within a second, while State still answers", async () => {
    const began = harness.clock.now().getTime();
    await refused(deleted);
    expect(harness.clock.now().getTime() - began).toBeLessThan(1_000);
    expect(await harness.task("State", { id: "t1" })).toMatchObject({ status: 3, exitStatus: 3 });
    expect(await harness.task("State", { id: "t2" })).toMatchObject({ status: 2 });
  });

  it("makes each repeated Delete fail, and deletes only once", async () => {
    for (let time = 0; time < 4; time++) await refused(deleted);
    expect(harness.sandbox.deletions).toBe(1);
    expect(harness.sandbox.stops).toBe(0);
  });

  it("completes the deletion when it answers again, with the same response for every repeated call", async () => {
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

  it("completes the deletion even if the call is not repeated, and then frees the id", async () => {
    await refused(deleted);
    await expect(harness.runMember("t1")).rejects.toMatchObject({ code: "AlreadyExists" });
    release.resolve();
    await expect.poll(() => harness.sandbox.container("t1")).toBeUndefined();
    harness.sandbox.onPing = async () => {};
    await harness.runMember("t1");
    expect(await harness.task("State", { id: "t1" })).toMatchObject({ status: 2 });
  });

  it("has the deletion retried after a failure that no caller saw", async () => {
    await refused(deleted);
    release.reject(new Error("not unmounted"));
    await expect.poll(() => harness.sandbox.deletions).toBe(1);
    harness.sandbox.onDeleteContainer = async () => {};
    harness.sandbox.onPing = async () => {};
    await expect.poll(() => deleted().then(({ exitStatus }) => exitStatus)).toBe(3);
  });

  it("finally loses its VM, since otherwise neither the tasks nor the pod could be deleted", async () => {
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

  it("keeps its VM as long as the host is slow or silent too", async () => {
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

  it("keeps its VM when it answers again before that", async () => {
    await refused(deleted);
    await harness.clock.advance(9_000);
    harness.sandbox.onPing = async () => {};
    release.resolve();
    await expect.poll(() => harness.sandbox.container("t1")).toBeUndefined();
    await harness.clock.advance(60_000);
    expect(harness.sandbox.stops).toBe(0);
    expect(await harness.task("State", { id: "t2" })).toMatchObject({ status: 2 });
  });

  it("leaves nothing behind when the pod is shut down afterwards", async () => {
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

  it("has a Delete of a task being created fail within a second too", async () => {
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

  it("finally loses its VM, once, when it does not undo a creation, however often Delete is repeated", async () => {
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

  it("has the end of its VM retried if the host failed to end it", async () => {
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

describe("a container that keeps running although the guest has confirmed its kill", () => {
  it.each([true, false])("loses its VM after a while, which completes its exit (all: %j)", async (all) => {
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

  it("gets this time only once, however often it is killed", async () => {
    await runInSandbox();
    harness.container("t1").init.isImmortal = true;
    for (let count = 0; count < 4; count++) {
      await harness.task("Kill", { id: "t1", signal: 9 });
      await pass(2_500);
    }
    expect(await harness.task("Wait", { id: "t1" })).toMatchObject({ exitStatus: 255 });
    expect(harness.sandbox.stops).toBe(1);
  });

  it("also loses its VM when the guest refuses the kill, or leaves only the kill unanswered", async () => {
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

  it("has its kill succeed even if the VM's end interrupts it", async () => {
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

  it("keeps its VM while its output is still being delivered to the client", async () => {
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

  it("keeps its VM, and its time starts anew, whenever another killed container has ended", async () => {
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

  it("gets more time from a guest that is slow in everything, but not unlimited time", async () => {
    await runInSandbox();
    harness.container("t1").init.isImmortal = true;
    harness.sandbox.onPing = () => harness.clock.delay(4_000);
    await harness.task("Kill", { id: "t1", signal: 9 });
    await pass(60_000);
    expect(harness.sandbox.stops).toBe(0);
    await pass(30_000);
    expect(harness.sandbox.stops).toBe(1);
  });

  it("has its VM ended on the next kill if that failed before", async () => {
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

  it("keeps its VM when the signal was another one, or an exec's", async () => {
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

describe("a host under full load", () => {
  it("gets more time to delete, as long as it answers at all", async () => {
    await runInSandbox();
    harness.sandbox.onDeleteContainer = () => harness.clock.delay(15_000);
    harness.sandbox.onPingHost = () => harness.clock.delay(3_000);
    harness.container("t1").init.finish(3);
    const deleting = harness.task("Delete", { id: "t1" });
    await pass(15_000);
    expect(await deleting).toMatchObject({ exitStatus: 3 });
  });

  it("keeps no caller waiting when it is silent, and does not end the VM for that", async () => {
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

describe("a guest under full load", () => {
  /** Answers every call after this time. */
  const slowly = (milliseconds: number) => (): Promise<void> => harness.clock.delay(milliseconds);

  it("gets more time for statistics, as long as it answers at all", async () => {
    await runInSandbox();
    harness.container("t1").onGuestCall = slowly(10_000);
    harness.sandbox.onPing = slowly(1_000);
    const stats = harness.task("Stats", { id: "t1" });
    await pass(10_000);
    expect((await stats).stats).toBeDefined();
  });

  it("gets more time to delete, as long as it answers at all", async () => {
    await runInSandbox();
    harness.sandbox.onDeleteContainer = slowly(15_000);
    harness.sandbox.onPing = slowly(500);
    harness.container("t1").init.finish(3);
    const deleting = harness.task("Delete", { id: "t1" });
    await pass(15_000);
    expect(await deleting).toMatchObject({ exitStatus: 3 });
  });

  it("gets more time to delete, however slow it is, if its host is under full load too", async () => {
    await runInSandbox();
    harness.sandbox.onDeleteContainer = slowly(15_000);
    harness.sandbox.onPing = slowly(3_000);
    harness.sandbox.onPingHost = slowly(3_000);
    harness.container("t1").init.finish(3);
    const deleting = harness.task("Delete", { id: "t1" });
    await pass(15_000);
    expect(await deleting).toMatchObject({ exitStatus: 3 });
  });

  it("gets more time for many concurrent deletions, as long as they complete one after the other", async () => {
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

  it("gets more time for many concurrent deletions even if it works on all of them at once", async () => {
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

  it("keeps its VM when it answers at any time within the bound of a kill, not only at its end", async () => {
    await runInSandbox();
    harness.container("t1").onGuestCall = slowly(12_000);
    harness.sandbox.onPing = slowly(4_500);
    const killing = harness.task("Kill", { id: "t1", signal: 9, all: true });
    await pass(12_000);
    await killing;
    expect(harness.sandbox.stops).toBe(0);
  });
});
