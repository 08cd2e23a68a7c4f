import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd, runtime } from "../../generated/messages.js";
import { FakeError } from "../../testing/fake-platform.ts";
import { Harness } from "../../testing/harness.ts";

const { Sandbox } = containerd.runtime.sandbox.v1;
const { Task } = containerd.task.v3;

let harness: Harness;
beforeEach(async () => {
  harness = new Harness();
  await harness.open("s1");
});
afterEach(() => harness.close());

const sandboxId = "s1";
const createSandbox = (more: object = {}) =>
  harness.client.call(Sandbox, "CreateSandbox", { sandboxId, bundlePath: harness.bundle("s1", undefined), ...more });
const startSandbox = async () => {
  await createSandbox();
  await harness.client.call(Sandbox, "StartSandbox", { sandboxId });
};
const runTask = async (id: string) => {
  const bundle = harness.bundle(id, { ociVersion: "1.0.2" });
  await harness.client.call(Task, "Create", { id, bundle });
  await harness.client.call(Task, "Start", { id });
};

describe("the Sandbox service", () => {
  it("accepts a CRI pod, which has its annotations in the options and no config.json", async () => {
    const pod = runtime.v1.PodSandboxConfig.encode({ hostname: "pod", annotations: { a: "pod", b: "pod" } }).finish();
    const options = { type_url: "runtime.v1.PodSandboxConfig", value: pod };
    await createSandbox({ options, annotations: { b: "request" }, netnsPath: "/run/netns/x" });
    expect(harness.sandbox.request).toEqual({
      id: "s1",
      namespace: "ns",
      makesContainer: true,
      pod: { specification: expect.objectContaining({ hostname: "pod" }) },
      bundle: expect.stringContaining("/s1"),
      annotations: { a: "pod", b: "request" },
      netnsPath: "/run/netns/x",
      runtimeOptions: { typeUrl: "options", value: Uint8Array.of(1) },
    });
  });

  it("accepts a sandbox with a config.json, as `ctr sandboxes run` makes it", async () => {
    const bundle = harness.bundle("s1", { ociVersion: "1.0.2", annotations: { x: "y" } });
    await createSandbox({ bundlePath: bundle });
    expect(harness.sandbox.request).toMatchObject({ spec: { ociVersion: "1.0.2" }, annotations: { x: "y" } });
  });

  it("names what is wrong with a request", async () => {
    const broken = { type_url: "runtime.v1.PodSandboxConfig", value: Uint8Array.of(0x3a, 0x7f) };
    await expect(createSandbox({ options: broken })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/PodSandboxConfig/),
    });
    await expect(createSandbox({ sandboxId: "a/b" })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/sandbox_id/),
    });
    const bundlePath = harness.bundle("malformed", "{");
    await expect(createSandbox({ bundlePath })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/config\.json is not JSON/),
    });
    expect(harness.platform.sandboxes).toEqual([]);
    await createSandbox();
    await expect(createSandbox()).rejects.toMatchObject({ code: "AlreadyExists" });
  });

  it("starts no sandbox that has not been created", async () => {
    const start = () => harness.client.call(Sandbox, "StartSandbox", { sandboxId });
    await expect(start()).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/start sandbox s1: it has not been created/),
    });
    await createSandbox();
    await start();
  });

  it("reports the life of a sandbox from its creation to its end", async () => {
    await createSandbox();
    const status = (verbose = false) => harness.client.call(Sandbox, "SandboxStatus", { sandboxId, verbose });
    expect(await status()).toMatchObject({ sandboxId, state: "SANDBOX_NOTREADY", pid: 77, exitedAt: null });
    await expect(harness.client.call(Sandbox, "PingSandbox", { sandboxId })).rejects.toMatchObject({
      code: "Unavailable",
    });
    const createdAt = { seconds: Date.parse("2026-01-01T00:00:00Z") / 1000 };
    // A guest pid: containerd builds namespace paths from it.
    expect(await harness.client.call(Sandbox, "StartSandbox", { sandboxId })).toMatchObject({ pid: 42, createdAt });
    expect(await status(true)).toMatchObject({
      pid: 42,
      state: "SANDBOX_READY",
      createdAt,
      info: { info: '{"pid":42,"processStatus":"running"}', pid: "42", state: "running", containers: "0" },
    });
    await harness.client.call(Sandbox, "PingSandbox", { sandboxId });
    const { platform } = await harness.client.call(Sandbox, "Platform", { sandboxId });
    expect(platform).toMatchObject({ os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch });
    const { metrics } = await harness.client.call(Sandbox, "SandboxMetrics", { sandboxId });
    expect(metrics).toMatchObject({ id: "s1", data: { type_url: "io.containerd.cgroups.v1.Metrics" } });
    const wait = harness.client.call(Sandbox, "WaitSandbox", { sandboxId });
    await harness.client.call(Sandbox, "StopSandbox", { sandboxId, timeoutSecs: 3 });
    const exitedAt = { seconds: Date.parse("2026-01-03T00:00:00Z") / 1000 };
    expect(await wait).toMatchObject({ exitStatus: 0, exitedAt });
    expect(await harness.client.call(Sandbox, "WaitSandbox", { sandboxId })).toMatchObject({ exitStatus: 0, exitedAt });
    expect(await status()).toMatchObject({ state: "SANDBOX_NOTREADY", exitedAt });
    expect(harness.ended).toEqual([]);
    await harness.client.call(Sandbox, "ShutdownSandbox", { sandboxId });
    expect(harness.ended).toEqual(["shutdown of sandbox s1"]);
  });

  it.each(["StartSandbox", "StopSandbox", "WaitSandbox", "SandboxStatus", "PingSandbox", "SandboxMetrics"] as const)(
    "answers %s for an unknown sandbox with NotFound, but for a start that comes too early",
    async (method) => {
      const code = method === "StartSandbox" ? "FailedPrecondition" : "NotFound";
      await expect(harness.client.call(Sandbox, method, { sandboxId })).rejects.toMatchObject({ code });
      await createSandbox();
      const other = harness.client.call(Sandbox, method, { sandboxId: "other" });
      await expect(other).rejects.toMatchObject({
        code: "NotFound",
        message: expect.stringMatching(/this shim has sandbox s1/),
      });
    },
  );

  it("shares one stop, which continues when its caller gives up, and can be repeated after a failure", async () => {
    await startSandbox();
    const gate = Promise.withResolvers<void>();
    harness.sandbox.onStop = () => gate.promise;
    const stop = (options = {}) => harness.client.call(Sandbox, "StopSandbox", { sandboxId }, options);
    await expect(stop({ timeoutMs: 20 })).rejects.toMatchObject({ code: "DeadlineExceeded" });
    const second = stop();
    await harness.client.call(Sandbox, "PingSandbox", { sandboxId });
    gate.reject(new FakeError("Unavailable", "host busy"));
    await expect(second).rejects.toMatchObject({ code: "Unavailable", message: "host busy" });
    harness.sandbox.onStop = async () => {};
    await stop();
    expect(harness.sandbox.stops).toBe(2);
  });

  it("ends the shim even if the sandbox was never created", async () => {
    await harness.client.call(Sandbox, "ShutdownSandbox", { sandboxId });
    expect(harness.ended).toHaveLength(1);
  });
});

describe("containers of a sandbox", () => {
  it("use their own connections, and their Shutdown does not end it", async () => {
    await startSandbox();
    const connection = harness.connect();
    await runTask("c1");
    await connection.call(Task, "Kill", { id: "c1", signal: 9 });
    expect(await connection.call(Task, "Delete", { id: "c1" })).toMatchObject({ exitStatus: 137 });
    await connection.call(Task, "Shutdown", { id: "c1" });
    connection.close();
    expect([harness.ended, harness.sandbox.stops]).toEqual([[], 0]);
    expect(await harness.client.call(Task, "Connect", { id: "s1" })).toMatchObject({ shimPid: 77, taskPid: 0 });
    expect((await harness.client.call(Task, "Pids", { id: "s1" })).processes).toEqual([]);
    await expect(harness.client.call(Task, "State", { id: "s1" })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("can be connected to before they exist, as containerd 1.7 does, but not once they are gone", async () => {
    await startSandbox();
    expect(await harness.client.call(Task, "Connect", { id: "c1" })).toMatchObject({ shimPid: 77, taskPid: 0 });
    await expect(harness.client.call(Task, "Pids", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    await runTask("c1");
    await harness.client.call(Task, "Kill", { id: "c1", signal: 9 });
    await harness.client.call(Task, "Delete", { id: "c1" });
    await expect(harness.client.call(Task, "Connect", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("require a running sandbox", async () => {
    await createSandbox();
    await expect(runTask("c1")).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/sandbox s1 is created, not running/),
    });
  });

  it("get their exits when it dies, can still be deleted, and do not end the shim", async () => {
    await startSandbox();
    await runTask("c1");
    harness.sandbox.end(9);
    expect(await harness.client.call(Task, "Wait", { id: "c1" })).toMatchObject({ exitStatus: 255 });
    expect(await harness.client.call(Task, "Delete", { id: "c1" })).toMatchObject({ exitStatus: 255 });
    await harness.client.call(Task, "Shutdown", { id: "c1" });
    expect(harness.ended).toEqual([]);
    expect(await harness.client.call(Sandbox, "WaitSandbox", { sandboxId })).toMatchObject({ exitStatus: 9 });
  });

  it("continue when the sandbox container ends, which makes the sandbox not ready", async () => {
    await startSandbox();
    await runTask("c1");
    const wait = harness.client.call(Sandbox, "WaitSandbox", { sandboxId });
    harness.sandbox.lose(137);
    const exitedAt = { seconds: Date.parse("2026-01-02T00:00:00Z") / 1000 };
    expect(await wait).toMatchObject({ exitStatus: 137, exitedAt });
    const status = await harness.client.call(Sandbox, "SandboxStatus", { sandboxId });
    expect(status).toMatchObject({ state: "SANDBOX_NOTREADY", exitedAt });
    await harness.client.call(Task, "Kill", { id: "c1", signal: 9 });
    expect(await harness.client.call(Task, "Delete", { id: "c1" })).toMatchObject({ exitStatus: 137 });
    await harness.client.call(Sandbox, "StopSandbox", { sandboxId });
    expect(harness.sandbox.stops).toBe(1);
  });

  it("are deleted by ShutdownSandbox", async () => {
    await startSandbox();
    await runTask("c1");
    await harness.client.call(Sandbox, "ShutdownSandbox", { sandboxId });
    expect([harness.sandbox.stops, harness.sandbox.deletions, harness.ended.length]).toEqual([1, 1, 1]);
    // Clients query the exit after they have seen it.
    expect(await harness.client.call(Task, "Delete", { id: "c1" })).toMatchObject({ exitStatus: 255 });
    expect(harness.sandbox.deletions).toBe(1);
  });

  it("are left to their clients for some time when the shim ends on a signal", async () => {
    await startSandbox();
    for (const id of ["c1", "c2"]) await runTask(id);
    let hasStopped = false;
    const stopping = harness.stopAll(1000).then(() => {
      hasStopped = true;
    });
    for (const id of ["c1", "c2"]) {
      expect(await harness.client.call(Task, "Wait", { id })).toMatchObject({ exitStatus: 255 });
      expect(hasStopped).toBe(false);
      expect(await harness.client.call(Task, "Delete", { id })).toMatchObject({ exitStatus: 255 });
    }
    await stopping;
    expect([harness.sandbox.stops, harness.sandbox.deletions]).toEqual([2, 2]);
  });

  it("keeps waiting for a VM that is being ended, for callers without a timeout", async () => {
    await startSandbox();
    const late = new FakeError("DeadlineExceeded", "the pod has not stopped within 10000 ms: stopping goes on");
    const failures = [late, late];
    harness.sandbox.onStop = async () => {
      const failure = failures.pop();
      if (failure !== undefined) throw failure;
    };
    await harness.client.call(Sandbox, "StopSandbox", { sandboxId });
    expect(harness.sandbox.state).toBe("stopped");
    failures.push(late);
    await expect(harness.client.call(Sandbox, "StopSandbox", { sandboxId, timeoutSecs: 3 })).rejects.toMatchObject({
      code: "DeadlineExceeded",
    });
  });

  it("does not wait forever for a VM that does not end, nor after a failure", async () => {
    await startSandbox();
    harness.sandbox.onStop = async () => {
      throw new FakeError("DeadlineExceeded", "the pod has not stopped within 10000 ms: stopping goes on");
    };
    const stopping = harness.client.call(Sandbox, "StopSandbox", { sandboxId });
    await expect(stopping).rejects.toMatchObject({ code: "DeadlineExceeded" });
    expect(harness.sandbox.stops).toBe(3);
    harness.sandbox.onStop = async () => {
      throw new FakeError("Internal", "a disk is busy");
    };
    await expect(harness.client.call(Sandbox, "StopSandbox", { sandboxId })).rejects.toMatchObject({
      code: "Internal",
    });
    expect(harness.sandbox.stops).toBe(4);
    harness.sandbox.onStop = async () => {};
  });
});
