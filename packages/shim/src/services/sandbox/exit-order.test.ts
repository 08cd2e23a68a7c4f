import { rmSync } from "node:fs";
import path from "node:path";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "../../generated/messages.js";
import { ClockedHarness } from "../../testing/harness.ts";

const { Sandbox } = containerd.runtime.sandbox.v1;

/** Advances the clock in steps, with file system checks in between. */
const often = { interval: 1, timeout: 10_000 };

let harness: ClockedHarness;
beforeEach(async () => {
  harness = new ClockedHarness();
  await harness.open("s1");
});
afterEach(() => harness.close());

/** A pod whose sandbox has a task of its own, as containerd makes it, and one of a container. */
async function runPod(): Promise<void> {
  await harness.runTask("s1");
  await harness.runMember("c1");
}

/** Deletes a task and records the time of the response. */
function deleting(id: string, answered: string[]): Promise<void> {
  return harness.task("Delete", { id }).then(() => void answered.push(id));
}

/** How long, in milliseconds, the end of a container is held back when nobody removes the pod's bundle. */
async function memberDelay(): Promise<number> {
  await runPod();
  harness.sandbox.end(1);
  const answered: string[] = [];
  await deleting("s1", answered);
  await harness.task("Shutdown", { id: "s1" });
  const member = deleting("c1", answered);
  const began = harness.clock.now().getTime();
  await expect.poll(() => harness.clock.advance(25).then(() => answered), often).toEqual(["s1", "c1"]);
  await member;
  return harness.clock.now().getTime() - began;
}

describe("a pod whose VM has ended by itself", () => {
  it("reports the end of its sandbox first, whichever client asks first", async () => {
    await runPod();
    harness.sandbox.end(1);
    const answered: string[] = [];
    const member = deleting("c1", answered);
    await expect.poll(() => harness.clock.sleepers).toBeGreaterThan(0);
    await deleting("s1", answered);
    expect([answered, harness.handOvers]).toEqual([["s1"], 0]);
    await harness.task("Shutdown", { id: "s1" });
    expect([answered, harness.handOvers, harness.ended]).toEqual([["s1"], 1, []]);
    await expect.poll(() => harness.clock.sleepers).toBeGreaterThan(0);
    // containerd has run `delete`, and removes the bundle.
    rmSync(path.join(harness.directory, "shim"), { recursive: true });
    await expect.poll(() => harness.clock.advance(25).then(() => answered), often).toEqual(["s1", "c1"]);
    await member;
    await expect.poll(() => harness.ended).toEqual(["the last task of an ended sandbox has been deleted"]);
  });

  it("waits no longer than its bound for a bundle that is never removed", async () => {
    expect(await memberDelay()).toBeGreaterThanOrEqual(2_500);
  });

  it("is reported in time even when every wait and every check is late", async () => {
    const late = 15;
    class LateClock extends ManualClock {
      override delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
        return super.delay(milliseconds + late, signal);
      }
    }
    await harness.close();
    harness = new ClockedHarness(new LateClock());
    await harness.open("s1");
    expect(await memberDelay()).toBeLessThan(3_500);
  });

  it("waits no longer than a second for a client that does not delete its sandbox's task", async () => {
    await runPod();
    harness.sandbox.end(1);
    const answered: string[] = [];
    const member = deleting("c1", answered);
    await expect.poll(() => harness.clock.sleepers).toBeGreaterThan(0);
    await harness.clock.advance(999);
    expect(answered).toEqual([]);
    await harness.clock.advance(1);
    await member;
    await harness.task("Delete", { id: "s1" });
    await harness.task("Shutdown", { id: "s1" });
    expect([harness.handOvers, harness.ended]).toEqual([0, ["shutdown of s1"]]);
  });

  it("answers WaitSandbox first if the pod has no task of its own", async () => {
    await harness.runSandbox();
    await harness.runMember("c1");
    const answered: string[] = [];
    const told = harness.client.call(Sandbox, "WaitSandbox", { sandboxId: "s1" });
    const waiting = told.then(() => void answered.push("s1"));
    // The bridge is lost before the exit of the VM is reported.
    harness.sandbox.isGuestGone = true;
    harness.container("c1").init.finish(255);
    const member = deleting("c1", answered);
    await expect.poll(() => harness.sandbox.deletions).toBe(1);
    expect(answered).toEqual([]);
    harness.sandbox.end(1);
    await Promise.all([waiting, member]);
    expect(answered).toEqual(["s1", "c1"]);
  });

  it("reports the end of a single container at once", async () => {
    await runPod();
    harness.container("c1").init.finish(3);
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ exitStatus: 3 });
    expect(harness.sandbox.stops).toBe(0);
  });
});
