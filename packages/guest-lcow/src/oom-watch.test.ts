import { GuestFault, type GuestHandlers } from "@uvm-shim/gcs-bridge";
import { describe, expect, it } from "vitest";
import type { LinuxContainer } from "./container.ts";
import { containerSettings, FakeGuest, settled, withoutPipes } from "./testing/fake-guest.ts";

const added = { ...withoutPipes, OCIProcess: { args: ["more"], cwd: "/" } };

/** A guest whose counters and exits the test controls. */
class Bench {
  kills = 0;
  version: 1 | 2 = 1;
  refusal: GuestFault | undefined;
  hangs = false;
  reports = 0;
  readonly fake: FakeGuest;
  readonly #exits = new Map<number, (code: number) => void>();
  #pid = 0;

  constructor() {
    const handlers: GuestHandlers = {
      executeProcess: async () => ({ ProcessId: ++this.#pid }),
      waitForProcess: ({ ProcessId }) =>
        new Promise((resolve) => this.#exits.set(ProcessId, (ExitCode) => resolve({ ExitCode }))),
      getProperties: async () => {
        if (this.hangs) await new Promise(() => {});
        if (this.refusal !== undefined) throw this.refusal;
        const metrics =
          this.version === 1
            ? { LCOWMetrics: { memory_oom_control: { oom_kill: this.kills } } }
            : { LCOWMetricsV2: { memory_events: { oom_kill: this.kills } } };
        return { Properties: JSON.stringify(metrics) };
      },
    };
    this.fake = new FakeGuest(handlers);
  }

  async container(): Promise<LinuxContainer> {
    const guest = await this.fake.connect();
    const container = await guest.createContainer("c", containerSettings);
    container.onOutOfMemory(() => this.reports++);
    return container;
  }

  exit(pid: number, code: number): void {
    this.#exits.get(pid)?.(code);
  }

  get questions(): number {
    return this.fake.bodies("getProperties").length;
  }
}

const notification = {
  containerId: "c",
  activityId: "",
  type: "OutOfMemory",
  operation: "None",
  result: 0,
} as const;

describe("an out-of-memory kill without a notification of the guest", () => {
  it.each([1, 2] as const)(
    "is reported before the exit of an exec that it has killed, by figures of version %d",
    async (version) => {
      const bench = new Bench();
      bench.version = version;
      const container = await bench.container();
      await container.execute(withoutPipes);
      const exec = await container.execute(added);
      await settled();
      bench.kills = 1;
      bench.exit(exec.pid, 137);
      expect(await exec.wait().then(() => bench.reports)).toBe(1);
    },
  );

  it("is reported before the exit of an init, whatever its status: a child may have been killed", async () => {
    const bench = new Bench();
    const init = await (await bench.container()).execute(withoutPipes);
    await settled();
    bench.kills = 2;
    bench.exit(init.pid, 1);
    expect(await init.wait().then(() => bench.reports)).toBe(1);
    const asked = bench.questions;
    bench.fake.expire();
    await settled();
    expect(bench.questions).toBe(asked);
  });

  it("is looked for while the container runs, and reported once", async () => {
    const bench = new Bench();
    const container = await bench.container();
    await container.execute(withoutPipes);
    bench.kills = 1;
    for (let round = 0; round < 3; round++) {
      bench.fake.expire();
      await settled();
    }
    expect([bench.reports, bench.questions]).toEqual([1, 3]);
    bench.kills = 2;
    await container.metrics();
    expect(bench.reports).toBe(2);
    await container.deleteState();
    bench.fake.expire();
    await settled();
    expect(bench.questions).toBe(4);
  });

  it("is not reported for a process that a user has killed or that has failed", async () => {
    const bench = new Bench();
    const container = await bench.container();
    await container.execute(withoutPipes);
    const [killed, failed] = [await container.execute(added), await container.execute(added)];
    await settled();
    bench.exit(killed.pid, 137);
    await killed.wait();
    const asked = bench.questions;
    bench.exit(failed.pid, 1);
    await failed.wait();
    expect([bench.reports, bench.questions]).toEqual([0, asked]);
  });

  it("cannot be reported without statistics, which is logged once and delays no exit", async () => {
    const bench = new Bench();
    bench.refusal = new GuestFault("E_FAIL", "get properties denied due to policy");
    const container = await bench.container();
    await container.execute(withoutPipes);
    bench.fake.expire();
    await settled();
    const exec = await container.execute(added);
    await settled();
    bench.exit(exec.pid, 137);
    expect(await exec.wait()).toBe(137);
    const unavailable = bench.fake.logged.filter((line) => line.startsWith("out-of-memory kills are not reported"));
    expect([bench.reports, unavailable.length]).toEqual([0, 1]);
  });

  it("is no longer looked for once the guest is lost", async () => {
    const bench = new Bench();
    const init = await (await bench.container()).execute(withoutPipes);
    await settled();
    expect(bench.fake.delays).toEqual([5_000]);
    await bench.fake.server.close();
    await expect(init.wait()).rejects.toMatchObject({ gone: true });
    await settled();
    expect(bench.fake.delays).toEqual([]);
  });

  it("is looked for again after the guest did not answer in time", async () => {
    const bench = new Bench();
    bench.hangs = true;
    await (await bench.container()).execute(withoutPipes);
    bench.fake.expire();
    await settled();
    expect(bench.fake.delays).toEqual([30_000]);
    bench.fake.expire();
    await settled();
    bench.hangs = false;
    bench.kills = 1;
    bench.fake.expire();
    await settled();
    expect(bench.reports).toBe(1);
  });

  it("delays an exit by at most 2 s", async () => {
    const bench = new Bench();
    bench.hangs = true;
    const container = await bench.container();
    await container.execute(withoutPipes);
    const exec = await container.execute(added);
    await settled();
    bench.exit(exec.pid, 137);
    await settled();
    bench.fake.expire(2_000);
    expect(await exec.wait()).toBe(137);
    expect(bench.fake.logged).toContain("cannot determine whether a process was killed for lack of memory");
  });
});

describe("an out-of-memory kill with a notification of the guest", () => {
  it("is reported once for each notification, and no longer queried", async () => {
    const bench = new Bench();
    const container = await bench.container();
    const init = await container.execute(withoutPipes);
    bench.fake.server.notify(notification);
    bench.fake.server.notify(notification);
    await settled();
    bench.kills = 2;
    await container.metrics();
    const asked = bench.questions;
    bench.exit(init.pid, 137);
    await init.wait();
    expect([bench.reports, bench.questions]).toEqual([2, asked]);
  });
});
