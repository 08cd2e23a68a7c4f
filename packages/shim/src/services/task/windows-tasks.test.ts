import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "../../generated/messages.js";
import { ClockedHarness, Harness, taskSpec } from "../../testing/harness.ts";

const { Statistics } = containerd.runhcs.stats.v1;
const { ProcessDetails } = containerd.runhcs.v1;
const resourcesType = "types.containerd.io/opencontainers/runtime-spec/1";
const any = (type_url: string, value: unknown) => ({ type_url, value: Buffer.from(JSON.stringify(value)) });

/** As containerd for Windows writes it: pods have a task of their own, and no pause container. */
const podSpec = {
  ...taskSpec,
  annotations: { "io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "c1" },
};
const ctrlCExit = 0xc000013a;

let harness: Harness;
beforeEach(async () => {
  harness = new Harness();
  harness.platform.os = "windows";
  await harness.open();
});
afterEach(() => harness.close());

async function runPod(): Promise<void> {
  await harness.createTask("c1", { rootfs: [{ type: "windows-layer", source: "C:\\scratch" }] }, podSpec);
  await harness.task("Start", { id: "c1" });
}

describe("a Windows container", () => {
  const metrics = {
    Timestamp: "2026-11-29T08:00:01.1234567Z",
    ContainerStartTime: "2026-11-29T08:00:00Z",
    Uptime100ns: 11_234_567,
    Processor: { TotalRuntime100ns: 30, RuntimeUser100ns: 10, RuntimeKernel100ns: 20 },
    Memory: {
      MemoryUsageCommitBytes: 4096,
      MemoryUsageCommitPeakBytes: 8192,
      MemoryUsagePrivateWorkingSetBytes: 2 ** 40,
    },
    Storage: { ReadCountNormalized: 1, ReadSizeBytes: 2, WriteCountNormalized: 3, WriteSizeBytes: 4 },
  };
  const start = Date.parse("2026-11-29T08:00:00Z") / 1000;
  const windows = {
    timestamp: { seconds: start + 1, nanos: 123_456_700 },
    containerStartTime: { seconds: start },
    uptimeNs: 1_123_456_700,
    processor: { totalRuntimeNs: 3_000, runtimeUserNs: 1_000, runtimeKernelNs: 2_000 },
    memory: {
      memoryUsageCommitBytes: 4096,
      memoryUsageCommitPeakBytes: 8192,
      memoryUsagePrivateWorkingSetBytes: 2 ** 40,
    },
    storage: { readCountNormalized: 1, readSizeBytes: 2, writeCountNormalized: 3, writeSizeBytes: 4 },
  };

  async function statisticsOf(id: string) {
    const { stats } = await harness.task("Stats", { id });
    expect(stats?.type_url).toBe("containerd.runhcs.stats.v1.Statistics");
    return Statistics.decode(stats?.value ?? new Uint8Array());
  }

  it("is measured in the form of the runhcs shim, with the VM that it has to itself", async () => {
    await harness.runTask("c1");
    harness.container("c1").measured = { version: "windows", metrics };
    const statistics = await statisticsOf("c1");
    expect(statistics).toMatchObject({ windows, vm: harness.sandbox.measured });
  });

  it("is measured without the VM that it shares with others", async () => {
    await runPod();
    await harness.runMember("c2", "c1");
    harness.container("c2").measured = { version: "windows", metrics };
    const statistics = await statisticsOf("c2");
    expect(statistics).toMatchObject({ windows });
    expect(statistics.vm).toBeNull();
  });

  it("is measured as far as its guest tells, whose numbers do not wrap around", async () => {
    await harness.runTask("c1");
    const odd = { Timestamp: "yesterday", Uptime100ns: 2 ** 62, Memory: { MemoryUsageCommitBytes: 2 ** 64 } };
    harness.container("c1").measured = { version: "windows", metrics: odd };
    const statistics = await statisticsOf("c1");
    expect(statistics.windows).toMatchObject({ uptimeNs: 2 ** 64, memory: { memoryUsageCommitBytes: 2 ** 64 } });
    expect(statistics.windows?.timestamp).toBeNull();
  });

  it("lists its processes with what the guest knows of them", async () => {
    await harness.runTask("c1");
    const details = {
      ImageName: "cmd.exe",
      CreateTimestamp: "2026-11-29T08:00:00.5Z",
      UserTime100ns: 7,
      KernelTime100ns: 8,
      MemoryCommitBytes: 9,
      MemoryWorkingSetPrivateBytes: 10,
      MemoryWorkingSetSharedBytes: 11,
    };
    harness.container("c1").pids = async () => [{ pid: 0xffffff00, execId: "e1", details }];
    const { processes } = await harness.task("Pids", { id: "c1" });
    expect(processes.map(({ pid, info }) => [pid, info?.type_url])).toEqual([
      [0xffffff00, "containerd.runhcs.v1.ProcessDetails"],
    ]);
    expect(ProcessDetails.decode(processes[0]?.info?.value ?? new Uint8Array())).toMatchObject({
      imageName: "cmd.exe",
      createdAt: { seconds: start, nanos: 500_000_000 },
      userTime_100Ns: 7,
      kernelTime_100Ns: 8,
      memoryCommitBytes: 9,
      memoryWorkingSetPrivateBytes: 10,
      memoryWorkingSetSharedBytes: 11,
      processId: 0xffffff00,
      execId: "e1",
    });
  });

  it("publishes an exit code of 32 bits in every answer and event", async () => {
    await harness.runTask("c1");
    harness.container("c1").init.finish(ctrlCExit);
    expect(await harness.task("Wait", { id: "c1" })).toMatchObject({ exitStatus: ctrlCExit });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ exitStatus: ctrlCExit });
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ exitStatus: ctrlCExit });
    await harness.topics(4);
    const codes = harness.events.received.flatMap(({ fields }) => fields.exitStatus ?? []);
    expect(codes).toEqual([ctrlCExit, ctrlCExit]);
  });

  it.each([0, 1, 6, 15, 4711])("leaves it to the process whether it has the signal %i", async (signal) => {
    await harness.runTask("c1");
    await harness.task("Kill", { id: "c1", signal });
    expect(harness.container("c1").init.signals).toEqual([signal]);
  });

  it("takes WindowsResources, and refuses those of Linux", async () => {
    await runPod();
    await harness.runMember("c2", "c1");
    const limit = { cpu: { maximum: 5_000 } };
    await harness.task("Update", { id: "c2", resources: any(`${resourcesType}/WindowsResources`, limit) });
    expect(harness.container("c2").updates).toEqual([limit]);
    const linux = any(`${resourcesType}/LinuxResources`, { memory: { limit: 4096 } });
    await expect(harness.task("Update", { id: "c2", resources: linux })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: "update task c2: resources are LinuxResources, expected WindowsResources for Windows containers",
    });
    expect(harness.container("c2").updates).toHaveLength(1);
  });
});

describe("a folder that is added to a running container", () => {
  const type = "github.com/Microsoft/hcsshim/pkg/ctrdtaskapi/ContainerMount";
  const folder = { HostPath: "C:\\data", ContainerPath: "C:\\in\\data", ReadOnly: true, Type: "" };

  it("reaches the container", async () => {
    await harness.runTask("c1");
    const added: unknown[] = [];
    Object.assign(harness.container("c1"), { addMount: async (mount: unknown) => void added.push(mount) });
    await harness.task("Update", { id: "c1", resources: any(type, folder) });
    expect(added).toEqual([{ hostPath: "C:\\data", containerPath: "C:\\in\\data", readOnly: true }]);
    expect(harness.sandbox.updates).toEqual([]);
  });

  it.each([
    [{ HostPath: "" }, "HostPath must be"],
    [{ ContainerPath: 7 }, "ContainerPath must be"],
    [{ ReadOnly: "yes" }, "ReadOnly must be"],
    [{ Type: "bind" }, 'Type is "bind", expected none'],
  ])("is refused with %j", async (change, message) => {
    await harness.runTask("c1");
    const resources = any(type, { ...folder, ...change });
    await expect(harness.task("Update", { id: "c1", resources })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`update task c1: ${message}`),
    });
  });

  it.each(["linux", "windows"] as const)("is refused where containers of %s take none", async (os) => {
    harness.platform.os = os;
    await harness.runTask("c1");
    await expect(harness.task("Update", { id: "c1", resources: any(type, folder) })).rejects.toMatchObject({
      code: "Unimplemented",
    });
  });
});

describe("a pod of Windows containers with a task of its own", () => {
  it("is a sandbox that runs, without any container, from the task's creation on", async () => {
    await harness.createTask("c1", { rootfs: [{ type: "windows-layer", source: "C:\\scratch" }] }, podSpec);
    expect(harness.sandbox.state).toBe("running");
    expect(harness.sandbox.containers()).toEqual([]);
    expect(harness.sandbox.request).toMatchObject({
      rootfs: [{ type: "windows-layer", source: "C:\\scratch" }],
      makesContainer: false,
    });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ pid: 0, status: 1 });
    expect(await harness.task("Start", { id: "c1" })).toEqual({ pid: 1 });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ pid: 1, status: 2, stdout: "" });
    expect(await harness.topics(2)).toEqual(["/tasks/create", "/tasks/start"]);
    expect(harness.events.received[0]?.fields.pid ?? 0).toBe(0);
    await expect(harness.task("Start", { id: "c1" })).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("is joined by the containers that name it", async () => {
    await runPod();
    await harness.runMember("c2", "c1");
    expect(harness.sandbox.containers().map(({ id }) => id)).toEqual(["c2"]);
  });

  it("has one process, no exec, no terminal, and cannot be paused", async () => {
    await runPod();
    const { processes } = await harness.task("Pids", { id: "c1" });
    const details = ProcessDetails.decode(processes[0]?.info?.value ?? new Uint8Array());
    expect([processes.length, processes[0]?.pid, details.processId, details.execId]).toEqual([1, 1, 1, "c1"]);
    const spec = any("x", {});
    await expect(harness.task("Exec", { id: "c1", execId: "e", spec })).rejects.toMatchObject({
      code: "Unimplemented",
    });
    await expect(harness.task("ResizePty", { id: "c1", width: 80, height: 25 })).rejects.toMatchObject({
      code: "FailedPrecondition",
    });
    await expect(harness.task("Pause", { id: "c1" })).rejects.toMatchObject({ code: "Unimplemented" });
    await harness.task("CloseIO", { id: "c1", stdin: true });
  });

  it("is measured and updated as its VM", async () => {
    await runPod();
    const { stats } = await harness.task("Stats", { id: "c1" });
    const statistics = Statistics.decode(stats?.value ?? new Uint8Array());
    expect([statistics.windows, statistics.vm?.processor]).toEqual([null, harness.sandbox.measured.processor]);
    const annotations = { "io.microsoft.virtualmachine.cpugroup.id": "g" };
    const resources = { memory: { limit: 2 ** 30 } };
    const request = { resources: any(`${resourcesType}/WindowsResources`, resources), annotations };
    await harness.task("Update", { id: "c1", ...request });
    expect(harness.sandbox.updates).toEqual([{ resources, annotations }]);
  });

  it.each([0, 9, 15])("ends with 0 after the signal %i, once its VM has ended", async (signal) => {
    await runPod();
    const ending = Promise.withResolvers<void>();
    harness.sandbox.onStop = () => ending.promise;
    await harness.task("Kill", { id: "c1", signal });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ status: 2 });
    await expect(harness.task("Kill", { id: "c1", signal })).rejects.toMatchObject({ code: "NotFound" });
    ending.resolve();
    expect(await harness.task("Wait", { id: "c1" })).toMatchObject({ exitStatus: 0 });
    expect([harness.sandbox.state, harness.sandbox.stops]).toEqual(["stopped", 1]);
    expect(await harness.topics(3)).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit"]);
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ pid: 1, exitStatus: 0 });
    await harness.task("Shutdown", { id: "c1" });
    expect(harness.ended).toHaveLength(1);
  });

  it("ends with 1 when it is killed before its start", async () => {
    await harness.createTask("c1", {}, podSpec);
    await harness.task("Kill", { id: "c1", signal: 15 });
    expect(await harness.task("Wait", { id: "c1" })).toMatchObject({ exitStatus: 1 });
    expect(harness.sandbox.state).toBe("stopped");
    await expect(harness.task("Start", { id: "c1" })).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("ends with 1 when its VM ends by itself", async () => {
    await runPod();
    harness.sandbox.end(0xc0370106);
    expect(await harness.task("Wait", { id: "c1" })).toMatchObject({ exitStatus: 1 });
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ exitStatus: 1 });
  });

  it("whose VM cannot be ended has an exit all the same, and its deletion tells why", async () => {
    await runPod();
    harness.sandbox.onStop = async () => {
      throw Object.assign(new Error("stuck"), { code: "Unavailable" });
    };
    await harness.task("Kill", { id: "c1", signal: 9 });
    expect(await harness.task("Wait", { id: "c1" })).toMatchObject({ exitStatus: 0 });
    await expect(harness.task("Delete", { id: "c1" })).rejects.toMatchObject({ code: "Unavailable" });
    harness.sandbox.onStop = async () => {};
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ exitStatus: 0 });
  });

  it("is ended by a shutdown, and its deletion can be repeated after that", async () => {
    await runPod();
    await harness.task("Shutdown", { id: "c1", now: true });
    expect([harness.sandbox.state, harness.ended.length]).toEqual(["stopped", 1]);
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ pid: 1 });
  });

  it("of Linux containers has a container as before", async () => {
    harness.platform.os = "linux";
    await harness.createTask("c1", {}, podSpec);
    expect(harness.sandbox.containers().map(({ id }) => id)).toEqual(["c1"]);
  });
});

describe("a Windows container that survives its kill", () => {
  let clocked: ClockedHarness;
  beforeEach(async () => {
    clocked = new ClockedHarness();
    clocked.platform.os = "windows";
    await clocked.open();
  });
  afterEach(() => clocked.close());

  it("takes its VM along after 30 s, and not before", async () => {
    await clocked.runTask("c1");
    clocked.container("c1").init.isImmortal = true;
    await clocked.task("Kill", { id: "c1", signal: 9 });
    const waiting = clocked.task("Wait", { id: "c1" });
    await clocked.pass(29_999);
    expect(clocked.sandbox.stops).toBe(0);
    await clocked.pass(1);
    expect(await waiting).toMatchObject({ exitStatus: 255 });
    expect(clocked.sandbox.stops).toBe(1);
  });
});
