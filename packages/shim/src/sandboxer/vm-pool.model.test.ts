/** A pool in whatever order pods come, VMs die and boots fail: what has to hold at each moment, and in the end. */
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ReadyVm } from "../ready-vms.ts";
import { FakeBoots, type FakeReadyVm, FakeVmIds } from "../testing/fake-ready-vms.ts";
import { VmPool } from "./vm-pool.ts";

type Step =
  | { readonly kind: "take"; readonly refuses: boolean }
  | { readonly kind: "die" | "go stale" | "end in vain"; readonly which: number }
  | { readonly kind: "fail" | "hang"; readonly call: "plan" | "boot" | "add id" }
  | { readonly kind: "begin a pod" | "end a pod" }
  | { readonly kind: "wait"; readonly milliseconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("take" as const), refuses: fc.boolean() }) },
  fc.record({ kind: fc.constantFrom("die" as const, "go stale" as const, "end in vain" as const), which: fc.nat(3) }),
  fc.record({
    kind: fc.constantFrom("fail" as const, "hang" as const),
    call: fc.constantFrom("plan" as const, "boot" as const, "add id" as const),
  }),
  fc.record({ kind: fc.constantFrom("begin a pod" as const, "end a pod" as const) }),
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("wait" as const), milliseconds: fc.nat(90_000) }) },
);

const eachInMb = 1024;

/** A pool, its host, and what pods have got of it. */
class World {
  readonly clock = new ManualClock();
  readonly boots = new FakeBoots();
  readonly ids = new FakeVmIds();
  readonly given: FakeReadyVm[] = [];
  readonly pool: VmPool;
  readonly #most: number;
  readonly #stale = new Set<ReadyVm>();
  readonly #making: (() => void)[] = [];
  /** Those that hang, and go on when the test is over with them. */
  readonly #hanging: (() => void)[] = [];
  readonly #next = new Map<string, "fail" | "hang">();

  constructor(size: number, memoryInMb: number) {
    this.#most = Math.min(size, Math.floor(memoryInMb / eachInMb));
    this.boots.memoryInMb = eachInMb;
    this.boots.onPlan = () => this.#fault("plan");
    this.boots.onBoot = () => this.#fault("boot");
    this.ids.onCall = (call) => this.#fault(call);
    let count = 0;
    this.pool = new VmPool({
      ...{ size, memoryInMb, plan: this.boots.plan, ids: this.ids, clock: this.clock, log: { log: () => {} } },
      newId: () => `vm${++count}`,
      endLeft: async () => {},
    });
  }

  async #fault(call: string): Promise<void> {
    const fault = this.#next.get(call);
    this.#next.delete(call);
    if (fault === "fail") throw new Error(`${call} fails`);
    if (fault === "hang") await new Promise<void>((resolve) => void this.#hanging.push(resolve));
  }

  async perform(step: Step): Promise<void> {
    switch (step.kind) {
      case "take": {
        const refusal = (): string | undefined => (step.refuses ? "it does not fit" : undefined);
        const vm = (await this.pool.forPod({ log: () => {} }).take(refusal)) as FakeReadyVm | undefined;
        if (vm === undefined) break;
        expect([step.refuses, vm.isRunning, this.#stale.has(vm), this.given.includes(vm)]).toEqual([
          ...[false, true, false, false],
        ]);
        this.given.push(vm);
        break;
      }
      case "die":
        this.#running(step.which)?.die("it has crashed");
        break;
      case "go stale": {
        const vm = this.#running(step.which);
        if (vm === undefined) break;
        this.#stale.add(vm);
        vm.onIsCurrent = async () => false;
        break;
      }
      case "end in vain": {
        const vm = this.#running(step.which);
        if (vm === undefined) break;
        vm.onEnd = async () => {
          vm.onEnd = async () => {};
          throw new Error("it does not end");
        };
        break;
      }
      case "fail":
      case "hang":
        this.#next.set(step.call, step.kind);
        break;
      case "begin a pod":
        void this.pool.during(() => new Promise<void>((resolve) => void this.#making.push(resolve)));
        break;
      case "end a pod":
        this.#making.shift()?.();
        break;
      case "wait":
        await this.clock.advance(step.milliseconds);
        break;
      default:
        step satisfies never;
    }
    await this.clock.advance(0);
  }

  #running(which: number): FakeReadyVm | undefined {
    return this.boots.running[which];
  }

  check(): void {
    expect(this.pool.size).toBeLessThanOrEqual(this.#most);
    const known = new Set(this.ids.ids);
    expect(this.boots.running.filter(({ id }) => !known.has(id))).toEqual([]);
    // Nobody ends a pod's VM but the pod.
    expect(this.given.filter(({ ends }) => ends > 0)).toEqual([]);
  }

  /** From now on nothing fails, and no pods come. */
  async comeToRest(): Promise<void> {
    this.#next.clear();
    for (const goOn of [...this.#hanging.splice(0), ...this.#making.splice(0)]) goOn();
    for (let minute = 0; minute < 6; minute++) await this.clock.advance(60_000);
    expect(this.pool.size).toBe(this.#most);
  }

  async close(): Promise<void> {
    const alive = this.given.filter(({ isRunning }) => isRunning);
    // What does not end is tried again.
    await this.pool.close().catch(() => this.pool.close());
    expect(this.pool.size).toBe(0);
    expect(this.boots.running).toEqual(alive);
    const count = this.boots.vms.length;
    await this.clock.advance(300_000);
    expect(this.boots.vms).toHaveLength(count);
  }
}

it("never gives out a VM twice, nor one that is dead or stale, keeps its bounds, and is full in the end", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 30 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, size, vms) => {
        const world = new World(size, vms * eachInMb);
        await world.pool.begin();
        for (const one of steps) {
          await world.perform(one);
          world.check();
        }
        await world.comeToRest();
        await world.close();
      },
    ),
    { numRuns: 150 },
  );
});

it("ends all that wait while calls of the host fail and hang", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const world = new World(2, 4 * eachInMb);
      await world.pool.begin();
      for (const one of steps) await world.perform(one);
      for (let attempt = 0; attempt < 2; attempt++) {
        const closed = world.pool.close().catch(() => {});
        await world.clock.advance(10_000);
        await closed;
      }
      expect(world.pool.size).toBe(0);
      expect(world.boots.running.filter((vm) => !world.given.includes(vm) && vm.ends === 0)).toEqual([]);
    }),
    { numRuns: 150 },
  );
});
