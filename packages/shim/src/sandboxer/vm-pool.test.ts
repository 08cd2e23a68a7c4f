import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import type { ReadyVm } from "../ready-vms.ts";
import { FakeBoots, type FakeReadyVm, FakeVmIds } from "../testing/fake-ready-vms.ts";
import { VmPool, type VmPoolOptions } from "./vm-pool.ts";

const fits = (): undefined => undefined;

/** A pool of two on a host in memory. */
function bench(changes: Partial<VmPoolOptions> = {}) {
  const clock = new ManualClock();
  const boots = new FakeBoots();
  const ids = new FakeVmIds();
  const lines: string[] = [];
  const ended: string[] = [];
  const log = {
    log: (level: string, message: string, fields: object = {}) =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`),
  };
  let count = 0;
  const pool = new VmPool({
    ...{ size: 2, memoryInMb: 4096, plan: boots.plan, ids, clock, log },
    newId: () => `vm${++count}`,
    endLeft: async (id) => void ended.push(id),
    ...changes,
  });
  const take = (refusal: (vm: ReadyVm) => string | undefined = fits) =>
    pool.forPod(log).take(refusal) as Promise<FakeReadyVm | undefined>;
  const said = (text: string): number => lines.filter((line) => line.includes(text)).length;
  /** Lets what can happen happen, without time passing. */
  const settle = () => clock.advance(0);
  const begin = async (): Promise<void> => {
    await pool.begin();
    await settle();
    await settle();
  };
  return { clock, boots, ids, lines, ended, pool, take, said, settle, begin };
}

describe("a pool of VMs", () => {
  it("boots as many as it is to have, and keeps their ids before they boot", async () => {
    const { boots, ids, pool, begin, said } = bench();
    boots.onBoot = async ({ id }) => expect(ids.ids).toContain(id);
    await begin();
    expect(pool.size).toBe(2);
    expect(ids.ids).toEqual(["vm1", "vm2"]);
    expect(said("a VM is ready")).toBe(2);
  });

  it("gives the oldest to a pod, and boots another when no pod is being made", async () => {
    const { boots, clock, pool, take, begin } = bench();
    await begin();
    const taken = await take();
    expect(taken?.id).toBe("vm1");
    expect(pool.size).toBe(1);
    await clock.advance(499);
    expect(boots.vms).toHaveLength(2);
    await clock.advance(1);
    expect(pool.size).toBe(2);
    expect(taken).toMatchObject({ isRunning: true, ends: 0 });
  });

  it("boots nothing while pods are being made, nor shortly after", async () => {
    const { boots, clock, pool, begin } = bench();
    const making = Promise.withResolvers<void>();
    const made = pool.during(() => making.promise);
    await begin();
    await clock.advance(10_000);
    expect(boots.vms).toEqual([]);
    making.resolve();
    await made;
    await clock.advance(499);
    expect(boots.vms).toEqual([]);
    await clock.advance(1);
    expect(pool.size).toBe(2);
  });

  it("gives nobody a VM that does not fit, and says why", async () => {
    const { pool, take, begin, lines } = bench();
    await begin();
    expect(await take(() => "its processors differ")).toBeUndefined();
    expect(pool.size).toBe(2);
    expect(lines.at(-1)).toBe('info boots a VM of its own {"why":"its processors differ"}');
    expect((await take(({ id }) => (id === "vm1" ? "too old" : undefined)))?.id).toBe("vm2");
  });

  it("says so when there is none", async () => {
    const { take, lines } = bench();
    expect(await take()).toBeUndefined();
    expect(lines).toEqual(['info boots a VM of its own {"why":"none is ready"}']);
  });

  it("never gives one VM to two pods", async () => {
    const { take, begin } = bench();
    await begin();
    const taken = await Promise.all([take(), take(), take()]);
    expect(taken.map((vm) => vm?.id)).toEqual(["vm1", "vm2", undefined]);
  });

  it("ends a VM whose boot files have changed, or cannot be seen", async () => {
    const { boots, take, begin, said } = bench();
    await begin();
    const [first, second] = boots.vms;
    if (first !== undefined) first.onIsCurrent = async () => false;
    if (second !== undefined) second.onIsCurrent = () => Promise.reject(new Error("stale handle"));
    expect(await take()).toBeUndefined();
    expect(boots.vms.map(({ ends }) => ends)).toEqual([1, 1]);
    expect(said("its boot files have changed")).toBe(1);
    expect(said("stale handle")).toBe(1);
  });

  it("replaces a VM that dies while it waits, and takes it off the list", async () => {
    const { boots, clock, ids, pool, begin, settle, said } = bench();
    await begin();
    boots.vms[0]?.die("crashed");
    await settle();
    await clock.advance(999);
    expect(pool.size).toBe(1);
    await clock.advance(1);
    expect(ids.ids).toEqual(["vm2", "vm3"]);
    expect(boots.vms[0]?.ends).toBe(1);
    expect(said('"reason":"crashed"')).toBe(1);
  });

  it("waits longer and longer for VMs that die young, and says so once", async () => {
    const { boots, clock, begin, said } = bench({ size: 1 });
    boots.onBoot = async (vm) => void setImmediate(() => vm.die("crashed"));
    await begin();
    for (let second = 0; second < 60; second++) await clock.advance(1_000);
    expect(boots.vms.length).toBeGreaterThan(3);
    expect(boots.vms.length).toBeLessThan(8);
    expect(said("warn a VM that waited for a pod has ended")).toBe(1);
  });

  it("does not give out a VM that dies while a pod looks at it", async () => {
    const { boots, take, begin } = bench({ size: 1 });
    await begin();
    const [vm] = boots.vms;
    if (vm !== undefined) {
      vm.onIsCurrent = async () => {
        vm.die("crashed");
        await Promise.resolve();
        return true;
      };
    }
    expect(await take()).toBeUndefined();
    expect(vm?.ends).toBe(1);
  });

  it("tries again after a boot that fails, more and more seldom, and says so once", async () => {
    const { boots, clock, ended, ids, pool, begin, said } = bench({ size: 1 });
    let tries = 0;
    boots.onBoot = async () => {
      tries++;
      throw new Error("no host");
    };
    await begin();
    expect(tries).toBe(1);
    await clock.advance(1_000);
    expect(tries).toBe(2);
    await clock.advance(1_999);
    expect(tries).toBe(2);
    await clock.advance(1);
    expect(tries).toBe(3);
    await clock.advance(10 * 60_000);
    expect(tries).toBeLessThan(20);
    expect(said("warn cannot boot a VM ahead, and tries again")).toBe(1);
    expect(ended).toContain("vm1");
    expect(ids.ids).toEqual([]);
    boots.onBoot = async () => {};
    await clock.advance(60_000);
    expect(pool.size).toBe(1);
    expect(said("booted ahead again")).toBe(1);
  });

  it("keeps within its memory", async () => {
    const { boots, clock, pool, take, begin, said } = bench({ size: 4, memoryInMb: 2500 });
    await begin();
    await clock.advance(600_000);
    expect(pool.size).toBe(2);
    expect(said("their memory is limited")).toBe(1);
    await take();
    await clock.advance(1_000);
    expect([pool.size, boots.vms.length]).toEqual([2, 3]);
  });

  it("ends all that wait when it is closed, and what boots, but not what pods have", async () => {
    const { boots, ids, pool, take, begin, clock } = bench();
    await begin();
    const taken = await take();
    boots.onBoot = (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    await clock.advance(1_000);
    await pool.close();
    expect(boots.running).toEqual([taken]);
    expect(ids.ids).toEqual(["vm1"]);
    expect(await take()).toBeUndefined();
    await pool.close();
  });

  it("is closed within a bound, though a VM does not end", async () => {
    const { boots, clock, pool, begin, settle } = bench();
    await begin();
    for (const vm of boots.vms) vm.onEnd = () => new Promise(() => {});
    const closed = pool.close().catch(String);
    await settle();
    await clock.advance(5_000);
    expect(await closed).toContain("VMs that were ready have not ended: vm1, vm2");
    for (const vm of boots.vms) vm.onEnd = async () => {};
    await pool.close();
    expect(boots.running).toEqual([]);
  });

  it("first ends what a killed sandboxer had, and keeps on the list what does not end", async () => {
    const ended: string[] = [];
    const { ids, pool, begin, said } = bench({
      size: 1,
      endLeft: async (id) => {
        if (id === "stuck") throw new Error("busy");
        ended.push(id);
      },
    });
    ids.ids = ["old", "stuck"];
    await begin();
    expect(ended).toEqual(["old"]);
    expect(ids.ids).toEqual(["stuck", "vm1"]);
    expect(said("ended a VM that waited with an earlier sandboxer")).toBe(1);
    expect(pool.size).toBe(1);
  });
});
