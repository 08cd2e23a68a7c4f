import { describe, expect, it } from "vitest";
import { containerd, io, runtime } from "../packages/shim/src/generated/messages.js";

const text = (value: string) => [...Buffer.from(value)];

describe("generated code", () => {
  it("writes fields under the public numbers", () => {
    const { TaskExit } = containerd.events;
    const event = { containerId: "c", id: "e", pid: 7, exitStatus: 137, exitedAt: { seconds: 1, nanos: 2 } };
    const bytes = [0x0a, 1, ...text("c"), 0x12, 1, ...text("e"), 0x18, 7, 0x20, 0x89, 1, 0x2a, 4, 0x08, 1, 0x10, 2];
    expect([...TaskExit.encode(event).finish()]).toEqual(bytes);
    expect(TaskExit.decode(Uint8Array.from(bytes))).toEqual(new TaskExit(event));
  });

  it("gives absent fields their defaults", () => {
    const request = containerd.task.v2.CreateTaskRequest.decode(new Uint8Array());
    expect([request.id, request.terminal, request.rootfs, request.options]).toEqual(["", false, [], null]);
    const options = containerd.runhcs.v1.Options.decode(new Uint8Array());
    expect([options.scrubLogs, options.sandboxIsolation]).toEqual([null, 0]);
    expect(runtime.v1.LinuxContainerResources.decode(new Uint8Array()).cpuQuota).toBe(0);
  });

  it("reads and writes 64-bit integers as numbers", () => {
    const { LinuxContainerResources } = runtime.v1;
    const resources = { cpuQuota: -1, cpuPeriod: Number.MAX_SAFE_INTEGER, memoryLimitInBytes: 2 ** 63 - 4096 };
    const decoded = LinuxContainerResources.decode(LinuxContainerResources.encode(resources).finish());
    expect(decoded).toMatchObject(resources);
    const { CPUUsage } = io.containerd.cgroups.v1;
    const usage = { total: 2 ** 63, perCpu: [1, 2 ** 40] };
    expect(CPUUsage.decode(CPUUsage.encode(usage).finish())).toMatchObject(usage);
  });

  it("describes services under their wire names", () => {
    const services = [
      containerd.task.v2.Task,
      containerd.task.v3.Task,
      containerd.runtime.sandbox.v1.Sandbox,
      containerd.services.events.ttrpc.v1.Events,
    ];
    expect(services.map(({ name, methods }) => [name, Object.keys(methods).length])).toEqual([
      ["containerd.task.v2.Task", 17],
      ["containerd.task.v3.Task", 17],
      ["containerd.runtime.sandbox.v1.Sandbox", 9],
      ["containerd.services.events.ttrpc.v1.Events", 1],
    ]);
    const { State } = containerd.task.v3.Task.methods;
    expect(State.kind).toBe("unary");
    expect(State.request).toBe(containerd.task.v2.StateRequest);
    expect(State.response).toBe(containerd.task.v2.StateResponse);
  });
});
