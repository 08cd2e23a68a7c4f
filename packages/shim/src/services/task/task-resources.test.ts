import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd, io } from "../../generated/messages.js";
import { FakeError } from "../../testing/fake-platform.ts";
import { Harness, taskSpec } from "../../testing/harness.ts";

let harness: Harness;
beforeEach(async () => {
  harness = new Harness();
  await harness.open();
});
afterEach(() => harness.close());

const linuxResources = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
const any = (type_url: string, value: unknown) => ({ type_url, value: Buffer.from(JSON.stringify(value)) });

async function joinSandbox(id: string): Promise<void> {
  await harness.createTask(id, {}, { ...taskSpec, annotations: { "io.uvm-shim.sandbox-id": "c1" } });
  await harness.task("Start", { id });
}

async function withSandboxAlone(id: string): Promise<void> {
  const { Sandbox } = containerd.runtime.sandbox.v1;
  await harness.client.call(Sandbox, "CreateSandbox", { sandboxId: id, bundlePath: harness.bundle(id, taskSpec) });
  await harness.client.call(Sandbox, "StartSandbox", { sandboxId: id });
}

describe("statistics", () => {
  it("are cgroup metrics of version 1", async () => {
    await harness.runTask("c1");
    harness.container("c1").measured = {
      version: 1,
      metrics: {
        pids: { current: 3, limit: 0 },
        cpu: { usage: { total: 5, per_cpu: [2, 3] }, throttling: { throttled_periods: 1 } },
        memory: { total_inactive_file: 7, pg_pg_in: 8, usage: { usage: 4096, limit: 2 ** 63 - 4096 }, kernel_tcp: {} },
        memory_oom_control: { oom_kill: 9 },
      },
    };
    const { stats } = await harness.task("Stats", { id: "c1" });
    expect(stats?.type_url).toBe("io.containerd.cgroups.v1.Metrics");
    expect(io.containerd.cgroups.v1.Metrics.decode(stats?.value ?? new Uint8Array())).toMatchObject({
      pids: { current: 3, limit: 0 },
      cpu: { usage: { total: 5, perCpu: [2, 3] }, throttling: { throttledPeriods: 1 } },
      memory: { totalInactiveFile: 7, pgPgIn: 8, usage: { usage: 4096, limit: 2 ** 63 - 4096 } },
      memoryOomControl: { oomKill: 9 },
    });
  });

  it("are cgroup metrics of version 2, with no limit as the greatest number", async () => {
    await harness.runTask("c1");
    harness.container("c1").measured = {
      version: 2,
      metrics: { cpu: { usage_usec: 5 }, memory: { usage: 4096, usage_limit: 2 ** 64 } },
    };
    const { stats } = await harness.task("Stats", { id: "c1" });
    expect(stats?.type_url).toBe("io.containerd.cgroups.v2.Metrics");
    const { Metrics } = io.containerd.cgroups.v2;
    expect(Metrics.decode(stats?.value ?? new Uint8Array())).toMatchObject({
      cpu: { usageUsec: 5 },
      memory: { usage: 4096, usageLimit: 2 ** 64 },
    });
    // 2^64 - 1, in ten bytes.
    expect(Buffer.from(stats?.value ?? []).toString("hex")).toContain("ffffffffffffffffff01");
  });

  it("contain only counters, and no other bytes of the guest", async () => {
    await harness.runTask("c1");
    const metrics = { pids: { current: 3 }, memory: { rss_huge: 1 } };
    harness.container("c1").measured = { version: 1, metrics };
    const { stats: expected } = await harness.task("Stats", { id: "c1" });
    const bytes = { $unknowns: [{ length: 4096 }] };
    const memory = { ...metrics.memory, ...bytes, rssHuge: "abc" };
    harness.container("c1").measured = { version: 1, metrics: { ...metrics, ...bytes, memory } };
    expect((await harness.task("Stats", { id: "c1" })).stats).toEqual(expected);
  });

  it("of a sandbox without a task are those of its VM", async () => {
    await withSandboxAlone("s1");
    const { stats } = await harness.task("Stats", { id: "s1" });
    expect(io.containerd.cgroups.v1.Metrics.decode(stats?.value ?? new Uint8Array())).toMatchObject({
      cpu: { usage: { total: 5_000_000_000 } },
      memory: { usage: { usage: 300 * 2 ** 20, limit: 512 * 2 ** 20 } },
    });
  });

  it("of a Windows sandbox have the shape of the runhcs shim's", async () => {
    harness.platform.os = "windows";
    await withSandboxAlone("s1");
    const { stats } = await harness.task("Stats", { id: "s1" });
    expect(stats?.type_url).toBe("containerd.runhcs.stats.v1.Statistics");
    const { vm } = containerd.runhcs.stats.v1.Statistics.decode(stats?.value ?? new Uint8Array());
    expect(vm).toMatchObject(harness.sandbox.measured);
  });

  it("of an unknown task are not found", async () => {
    await expect(harness.task("Stats", { id: "c9" })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("of a task that does not run are refused", async () => {
    await harness.createTask("c1");
    await expect(harness.task("Stats", { id: "c1" })).rejects.toMatchObject({ code: "FailedPrecondition" });
  });
});

describe("updates", () => {
  const limit = { memory: { limit: 4096 } };

  it("of a container reach only the container", async () => {
    await harness.runTask("c1");
    await joinSandbox("c2");
    await harness.task("Update", { id: "c2", resources: any(linuxResources, limit) });
    expect(harness.container("c2").updates).toEqual([limit]);
    expect(harness.sandbox.updates).toEqual([]);
  });

  it("for a sandbox's own id change its VM, and the container with that id while it runs", async () => {
    const annotations = { key: "value" };
    await harness.createTask("c1");
    await harness.task("Update", { id: "c1", resources: any(linuxResources, limit), annotations });
    expect(harness.sandbox.updates).toEqual([{ resources: limit, annotations }]);
    expect(harness.container("c1").updates).toEqual([]);
    await harness.task("Start", { id: "c1" });
    await harness.task("Update", { id: "c1", resources: any(linuxResources, limit), annotations });
    expect(harness.sandbox.updates).toHaveLength(2);
    expect(harness.container("c1").updates).toEqual([limit]);
  });

  it("change the VM of a sandbox without a task", async () => {
    await withSandboxAlone("s1");
    await harness.task("Update", { id: "s1", resources: any(linuxResources, limit) });
    expect(harness.sandbox.updates).toEqual([{ resources: limit, annotations: {} }]);
  });

  it("add to the policy of a sandbox, not of a container", async () => {
    const resources = any("github.com/Microsoft/hcsshim/pkg/ctrdtaskapi/PolicyFragment", { fragment: "AAAA" });
    await harness.runTask("c1");
    await joinSandbox("c2");
    await harness.task("Update", { id: "c1", resources });
    expect(harness.sandbox.updates).toEqual([{ policyFragment: { fragment: "AAAA" }, annotations: {} }]);
    expect(harness.container("c1").updates).toEqual([]);
    await expect(harness.task("Update", { id: "c2", resources })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/a policy fragment applies to a sandbox/),
    });
  });

  it.each([
    [{}, "resources are missing"],
    [{ resources: any("x.y/Resources", {}) }, 'unknown resources type "x.y/Resources", expected LinuxResources or'],
    [{ resources: { type_url: linuxResources, value: Buffer.from("{") } }, "resources are not JSON"],
    [{ resources: any("x/ctrdtaskapi/PolicyFragment", {}) }, "fragment must be a base64 string"],
    [{ resources: any("x/ctrdtaskapi/PolicyFragment", { fragment: "AA", mediaType: 1 }) }, "mediaType must be"],
  ])("are refused as %j", async (request, message) => {
    await harness.runTask("c1");
    await expect(harness.task("Update", { id: "c1", ...request })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: new RegExp(`update task c1: ${message}`),
    });
    expect([harness.sandbox.updates, harness.container("c1").updates]).toEqual([[], []]);
  });

  it("fail with the platform's error code", async () => {
    await harness.runTask("c1");
    harness.sandbox.update = async () => {
      throw new FakeError("ResourceExhausted", "too little");
    };
    await expect(harness.task("Update", { id: "c1", resources: any(linuxResources, limit) })).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: "too little",
    });
    expect(harness.container("c1").updates).toEqual([]);
  });
});

describe("pausing", () => {
  it("shows in the task's state and in events", async () => {
    await harness.runTask("c1");
    await harness.task("Pause", { id: "c1" });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ status: containerd.v1.types.Status.PAUSED });
    await harness.task("Resume", { id: "c1" });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ status: containerd.v1.types.Status.RUNNING });
    expect((await harness.topics(4)).slice(2)).toEqual(["/tasks/paused", "/tasks/resumed"]);
    await expect(harness.task("Resume", { id: "c1" })).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(harness.task("Pause", { id: "none" })).rejects.toMatchObject({ code: "NotFound" });
  });
});

it("an out-of-memory kill is published as an event of its container", async () => {
  await harness.runTask("c1");
  harness.container("c1").request.onOutOfMemory();
  expect((await harness.topics(3)).at(-1)).toBe("/tasks/oom");
  expect(harness.events.received.at(-1)).toMatchObject({
    type: "containerd.events.TaskOOM",
    fields: { containerId: "c1" },
  });
});
