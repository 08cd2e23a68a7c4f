import { resourcePaths } from "@uvm-shim/hcs-schema";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { document, settle, vmOn } from "./testing/index.ts";
import type { VmUpdate } from "./types.ts";

async function running(...options: Parameters<typeof vmOn>) {
  const all = vmOn(...options);
  await all.vm.create({ document });
  await all.vm.start();
  return { ...all, called: all.host.script.calls.length };
}

const mebibyte = 2 ** 20;
const group = "5a3b9c64-1f0e-4c86-8f0b-6a6e9d8f7c21";

describe("updating", () => {
  it.each([
    [512 * mebibyte, 512],
    [512 * mebibyte + 1, 514],
    [511 * mebibyte, 512],
    [1, 2],
  ])("gives the VM the memory that HCS accepts for %d bytes, and then the guest's containers", async (limit, size) => {
    const { host, vm, called } = await running();
    await vm.update({ resources: { memory: { limit } } });
    expect(host.system.modifications).toEqual([
      { ResourcePath: resourcePaths.memorySize, RequestType: "Update", Settings: size },
    ]);
    expect(host.script.names.slice(called)).toEqual(["modify", "updateMemoryLimits"]);
    await vm.terminate();
  });

  it.each([
    ["a quota of half its two processors", { quota: 100_000, period: 100_000 }, { Limit: 50_000 }],
    ["a quota with the default period", { quota: 20_000 }, { Limit: 10_000 }],
    ["more than it has", { quota: 500_000, period: 100_000 }, { Limit: 100_000 }],
    ["the smallest quota that Linux takes", { quota: 1000, period: 1_000_000 }, { Limit: 50 }],
    ["no quota any more", { quota: -1 }, { Limit: 100_000 }],
    ["default shares", { shares: 1024 }, { Weight: 100 }],
    ["the most shares", { shares: 262_144 }, { Weight: 10_000 }],
    ["the fewest shares", { shares: 2 }, { Weight: 1 }],
    ["both", { quota: 50_000, period: 50_000, shares: 512 }, { Limit: 50_000, Weight: 50 }],
  ])("limits processors to %s", async (_what, cpu, limits) => {
    const { host, vm } = await running();
    await vm.update({ resources: { cpu } });
    expect(host.system.modifications).toEqual([
      { ResourcePath: resourcePaths.processorLimits, RequestType: "Update", Settings: limits },
    ]);
    await vm.terminate();
  });

  it.each([
    ["nothing", {}],
    ["zeros, which mean nothing", { resources: { memory: { limit: 0 }, cpu: { quota: 0, period: 0, shares: 0 } } }],
    ["what is the containers' alone", { resources: { cpu: { cpus: "0" }, pids: { limit: 5 } } }],
  ])("leaves the VM unchanged for %s", async (_what, update) => {
    const { host, vm, called } = await running();
    await vm.update(update);
    expect(host.script.calls).toHaveLength(called);
    await vm.terminate();
  });

  it("starts from the VM's memory as host and guest last had it", async () => {
    const { vm } = await running();
    expect(vm.memoryInMb).toBe(1024);
    await vm.update({ resources: { memory: { limit: 511 * mebibyte } } });
    expect(vm.memoryInMb).toBe(512);
    await vm.update({ resources: { cpu: { quota: 20_000 } } });
    expect(vm.memoryInMb).toBe(512);
    await vm.terminate();
  });

  it("that did not reach the guest can be repeated", async () => {
    const script = new ScriptedCalls(new Map([[(await running()).called + 1, "fail"]]));
    const { vm } = await running(script);
    const update = { resources: { memory: { limit: 512 * mebibyte } } };
    await expect(vm.update(update)).rejects.toThrow();
    expect(vm.memoryInMb).toBe(1024);
    await vm.update(update);
    expect(vm.memoryInMb).toBe(512);
    await vm.terminate();
  });

  it("has the VM join a CPU group, and adds to the guest's policy", async () => {
    const { host, vm } = await running();
    await vm.update({
      annotations: { "io.microsoft.virtualmachine.cpugroup.id": group, other: "x" },
      policyFragment: { fragment: "AAAA", mediaType: "" },
    });
    expect(host.system.modifications).toEqual([
      { ResourcePath: resourcePaths.cpuGroup, RequestType: "Update", Settings: { Id: group } },
    ]);
    expect(host.guest.fragments).toEqual([{ Fragment: "AAAA" }]);
    await vm.terminate();
  });

  it.each<[VmUpdate, string]>([
    [{ resources: 7 }, "resources: expected an object, got 7"],
    [{ resources: { memory: { limit: "1" } } }, "resources.memory.limit: expected an integer"],
    [{ resources: { memory: { limit: -1 } } }, "resources.memory.limit: expected 0 bytes or more, got -1"],
    [{ resources: { memory: { limit: 4096 }, cpu: { shares: -1 } } }, "resources.cpu.shares: expected an integer"],
    [
      { resources: { memory: { limit: 4096 } }, annotations: { "io.microsoft.virtualmachine.cpugroup.id": "" } },
      'annotations["io.microsoft.virtualmachine.cpugroup.id"].Id: expected a GUID',
    ],
  ])("refuses %j before anything is changed", async (update, message) => {
    const { host, vm, called } = await running();
    await expect(vm.update(update)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`update VM vm-1: ${message}`),
    });
    expect(host.script.calls).toHaveLength(called);
    await vm.terminate();
  });

  it("is sequential", async () => {
    const { host, vm, called } = await running();
    const sizes = [512, 256].map((size) => vm.update({ resources: { memory: { limit: size * mebibyte } } }));
    await Promise.all(sizes);
    expect(host.script.names.slice(called)).toEqual(["modify", "updateMemoryLimits", "modify", "updateMemoryLimits"]);
    await vm.terminate();
  });

  it("is interrupted by terminate, even if the host ignores the signal", async () => {
    const { host, vm } = await running();
    host.system.modify = () => new Promise(() => {});
    const update = vm.update({ resources: { memory: { limit: mebibyte } } });
    await settle();
    await vm.terminate();
    await expect(update).rejects.toMatchObject({ code: "Cancelled" });
    expect(host.leftovers()).toEqual([]);
  });

  it("is interrupted by the end of the VM", async () => {
    const { host, vm } = await running();
    host.system.modify = () => new Promise(() => {});
    const update = vm.update({ resources: { memory: { limit: mebibyte } } });
    await settle();
    host.system.exit(5, "UnexpectedExit");
    await expect(update).rejects.toMatchObject({ code: "Cancelled" });
    await vm.terminate();
    expect(host.leftovers()).toEqual([]);
  });
});

describe("statistics", () => {
  const vmMemory = {
    availableMemory: 60,
    availableMemoryBuffer: 0,
    reservedMemory: 3,
    assignedMemory: 262_144,
    slpActive: true,
    balancingEnabled: false,
    dmOperationInProgress: false,
  };

  it("count the assigned memory of a VM with physical memory as its working set", async () => {
    const { host, vm, called } = await running();
    expect(await vm.statistics()).toEqual({
      processor: { totalRuntimeNs: 4_200 },
      memory: { workingSetBytes: 1024 * mebibyte, virtualNodeCount: 1, vmMemory },
    });
    expect(host.script.calls.slice(called)).toEqual([{ name: "properties", detail: "Statistics,Memory" }]);
    await vm.terminate();
  });

  it("query the working set of a VM with virtual memory", async () => {
    const { vm } = vmOn();
    const { VirtualMachine: machine } = document;
    const ComputeTopology = { ...machine.ComputeTopology, Memory: { SizeInMB: 1024, AllowOvercommit: true } };
    await vm.create({ document: { ...document, VirtualMachine: { ...machine, ComputeTopology } } });
    await vm.start();
    expect((await vm.statistics()).memory).toEqual({ workingSetBytes: 64 * mebibyte, virtualNodeCount: 1, vmMemory });
    await vm.terminate();
  });

  it("are zero if the host reports none", async () => {
    const { host, vm } = await running();
    host.system.measured = {};
    expect(await vm.statistics()).toMatchObject({
      processor: { totalRuntimeNs: 0 },
      memory: { workingSetBytes: 0, virtualNodeCount: 0, vmMemory: { assignedMemory: 0, slpActive: false } },
    });
    await vm.terminate();
  });

  it("do not wait for an update that hangs", async () => {
    const { host, vm } = await running();
    host.system.modify = () => new Promise(() => {});
    const update = vm.update({ resources: { memory: { limit: mebibyte } } });
    expect((await vm.statistics()).processor.totalRuntimeNs).toBe(4_200);
    await vm.terminate();
    await expect(update).rejects.toMatchObject({ code: "Cancelled" });
  });
});

describe("processes of the VM", () => {
  it("get their command and their streams", async () => {
    const { host, vm } = await running();
    const process = await vm.execute({
      args: ["ls", "-l"],
      workingDirectory: "/",
      environment: { A: "b" },
      stdout: true,
    });
    expect(process.pid).toBe(host.guest.processes[0]?.pid);
    expect(host.guest.executed).toEqual([
      {
        CommandArgs: ["ls", "-l"],
        WorkingDirectory: "/",
        Environment: { A: "b" },
        EmulateConsole: false,
        CreateStdInPipe: false,
        CreateStdOutPipe: true,
        CreateStdErrPipe: false,
      },
    ]);
    await vm.terminate();
  });

  it("begin at / with the usual path, unless their caller says otherwise", async () => {
    const { host, vm } = await running();
    await vm.execute({ args: ["ls"], workingDirectory: "" });
    await vm.execute({ args: ["sh"], terminal: true });
    const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    expect(host.guest.executed).toMatchObject([
      { WorkingDirectory: "/", Environment: { PATH } },
      { WorkingDirectory: "/", Environment: { PATH, TERM: "xterm" } },
    ]);
    await vm.terminate();
  });

  it("are signalled by a program of the guest, which signals none for its host", async () => {
    const { host, vm } = await running();
    const process = await vm.execute({ args: ["cat"], stdin: true });
    await process.signal(15);
    expect(await process.wait()).toBe(143);
    expect(host.guest.executed[1]).toMatchObject({ CommandArgs: ["/bin/sh", "-c", `kill -15 ${process.pid}`] });
    expect(host.guest.processes[1]?.isOpen).toBe(false);
    await process.signal(9);
    expect(host.guest.executed).toHaveLength(2);
    await vm.terminate();
  });

  it("end when they are closed where the guest cannot do that", async () => {
    const { host, vm } = await running();
    host.guest.canRunSenders = false;
    const process = await vm.execute({ args: ["cat"], stdin: true });
    await expect(process.signal(15)).rejects.toMatchObject({ code: "Unimplemented" });
    expect(host.guest.processes[0]?.isOpen).toBe(true);
    await expect(process.signal(9)).rejects.toMatchObject({ code: "Unimplemented" });
    await expect(process.resize(24, 80)).rejects.toMatchObject({ code: "Unimplemented" });
    expect(await process.wait()).toBe(255);
    await vm.terminate();
  });

  it("are reported, closed and waited for when they start after their caller has left", async () => {
    const { host, lines, vm } = await running();
    host.guest.canRunSenders = false;
    const late = Promise.withResolvers<never>();
    const { execute } = host.guest;
    host.guest.execute = async (parameters) => {
      const made = await execute.call(host.guest, parameters);
      if (made.pid === 100) made.needsNoStdio = true;
      await late.promise.catch(() => {});
      return made;
    };
    const abort = new AbortController();
    const executing = vm.execute({ args: ["sleep"] }, abort.signal);
    await settle();
    abort.abort();
    await expect(executing).rejects.toMatchObject({ code: "Cancelled", operation: "execute in VM" });
    late.reject(new Error("go on"));
    await settle();
    expect(host.guest.processes[0]?.isOpen).toBe(false);
    host.guest.processes[0]?.end(255);
    await settle();
    expect(lines).toEqual([
      {
        level: "warn",
        message: "cannot kill an abandoned process of the VM, closing its stdio",
        fields: { pid: 100, error: "process 100 is one of the VM itself" },
      },
      { level: "info", message: "an abandoned process of the VM has ended", fields: { pid: 100, status: 255 } },
    ]);
    await vm.terminate();
  });
});

describe("the guest's stacks", () => {
  it("are returned if the guest can dump them", async () => {
    const { host, vm } = await running();
    expect(await vm.dumpStacks()).toBe("main: waits");
    host.guest.canDumpStacks = false;
    expect(await vm.dumpStacks()).toBeUndefined();
    await vm.terminate();
  });
});

describe("a VM that is not running", () => {
  const operations = [
    ["update", (vm) => vm.update({})],
    ["statistics", (vm) => vm.statistics()],
    ["execute", (vm) => vm.execute({ args: ["ls"] })],
    ["dumpStacks", (vm) => vm.dumpStacks()],
  ] as const satisfies readonly (readonly [string, (vm: ReturnType<typeof vmOn>["vm"]) => Promise<unknown>])[];

  it.each(operations)("refuses %s in every other state, and names the state", async (name, operate) => {
    const { host, vm } = vmOn();
    const refused = async (state: string): Promise<void> => {
      const calls = host.script.calls.length;
      await expect(operate(vm)).rejects.toMatchObject({
        code: "FailedPrecondition",
        message: expect.stringContaining(`${name} VM vm-1: not possible in state ${state}, only in Running`),
      });
      expect(host.script.calls).toHaveLength(calls);
    };
    await refused("NotCreated");
    await vm.create({ document });
    await refused("Created");
    host.boot = (system) => system.exit(1, "UnexpectedExit");
    await vm.start().catch(() => {});
    await refused("Invalid");
    await vm.terminate();
    await refused("Terminated");
  });
});

describe("a guest that crashes", () => {
  it("leaves its crash report in the exit", async () => {
    const { host, vm } = await running();
    host.system.crashReport = { SystemId: "vm-1", CrashLog: "kernel panic" };
    host.system.exit(0x80370106, "UnexpectedExit");
    expect(await vm.wait()).toMatchObject({
      status: 0x80370106,
      reason: "UnexpectedExit",
      crashReport: { CrashLog: "kernel panic" },
    });
    await vm.terminate();
    expect(vm.exit).toHaveProperty("crashReport");
  });

  it("does so even when the host is lost before the exit is reported", async () => {
    const { host, vm } = await running();
    host.system.crashReport = { CrashLog: "kernel panic" };
    host.system.loseService();
    expect(await vm.wait()).toMatchObject({ status: 1, crashReport: { CrashLog: "kernel panic" } });
  });
});

describe("becoming the VM of another document", () => {
  const grown = {
    ...document,
    VirtualMachine: {
      ...document.VirtualMachine,
      ComputeTopology: { ...document.VirtualMachine.ComputeTopology, Memory: { SizeInMB: 2048 } },
    },
  };
  const weight = {
    ResourcePath: resourcePaths.processorLimits,
    RequestType: "Update",
    Settings: { Weight: 5 },
  } as const;
  const memory = { ResourcePath: resourcePaths.memorySize, RequestType: "Update", Settings: 2048 } as const;

  it("makes the changes in order, and tells the guest of its memory", async () => {
    const { host, vm, called } = await running();
    await vm.refit({ document: grown, changes: [memory, weight] });
    expect(host.system.modifications).toEqual([memory, weight]);
    expect(host.script.names.slice(called)).toEqual(["modify", "updateMemoryLimits", "modify"]);
    expect(vm.memoryInMb).toBe(2048);
    await vm.terminate();
  });

  it("does so only while the VM runs", async () => {
    const { vm } = vmOn();
    await vm.create({ document });
    await expect(vm.refit({ document: grown, changes: [] })).rejects.toMatchObject({ code: "FailedPrecondition" });
    await vm.terminate();
  });
});
