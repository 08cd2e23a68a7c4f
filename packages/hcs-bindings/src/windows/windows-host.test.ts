import { hresults } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeSystem } from "../testing/fake-system.ts";
import { FakeWindows } from "../testing/windows/fake-windows.ts";
import type { WindowsComputeSystem } from "./compute/compute-system.ts";
import type { WindowsHost } from "./windows-host.ts";

let on: FakeWindows;
let host: WindowsHost;

beforeEach(async () => {
  on = new FakeWindows();
  host = await on.connect();
});
afterEach(async () => {
  await host.close();
  expect(await on.leftovers()).toEqual([]);
});

function create(id = "vm", endsWithLastHandle = true, signal?: AbortSignal): Promise<WindowsComputeSystem> {
  return host.createComputeSystem(id, on.document({ owner: "test", endsWithLastHandle }), signal);
}

/** Fails the failure point with this index. */
const failAfter = (points: number): void => {
  on.machine.failAt = on.machine.points + points;
};

describe("a creation", () => {
  it("that is aborted is undone, whatever the document says", async () => {
    const ended = vi.spyOn(FakeSystem.prototype, "endOnRequest");
    const controller = new AbortController();
    const creating = create("vm", false, controller.signal);
    controller.abort(new Error("enough"));
    await expect(creating).rejects.toMatchObject({ code: "Cancelled", cause: controller.signal.reason });
    await expect.poll(() => ended.mock.calls).toEqual([["ForcedExit"]]);
    ended.mockRestore();
  });

  it("that is aborted before its start makes no call", async () => {
    const before = on.machine.points;
    await expect(create("vm", false, AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
    expect(on.machine.points).toBe(before);
  });

  it("is undone if its events cannot be received", async () => {
    // Operation, call, completion, result; then the call that sets the callback.
    failAfter(4);
    await expect(create("vm", false)).rejects.toMatchObject({ operation: "listen for events of compute system" });
    expect(on.machine.struck).toBe("HcsSetComputeSystemCallback");
    expect(on.service.leftovers()).toEqual([]);
  });

  it("fails with ResourceExhausted if there is no operation", async () => {
    failAfter(0);
    await expect(create()).rejects.toMatchObject({ code: "ResourceExhausted", hresultName: "E_OUTOFMEMORY" });
  });
});

describe("a failure", () => {
  it("has the host's error events", async () => {
    await create();
    await expect(create()).rejects.toMatchObject({
      code: "AlreadyExists",
      hresultName: "HCS_E_SYSTEM_ALREADY_EXISTS",
      operation: "create compute system",
      id: "vm",
      message: expect.stringContaining("compute system vm already exists"),
      events: ["why"],
    });
  });

  it("has the host's text if that is no document", async () => {
    const system = await create();
    // Operation and call; then the completion.
    failAfter(2);
    await expect(system.start()).rejects.toMatchObject({ code: "Internal", hresult: 0x80004005, events: ["struck"] });
  });

  it("is reported for invalid answers", async () => {
    const system = await create();
    on.core.operations.functions.HcsGetOperationResult = (_operation, output) => {
      output.writeBigUInt64LE(on.machine.giveText("computecore", '{"Id":7}'));
      return 0;
    };
    Object.assign(on.machine.dlls.computecore ?? {}, on.core.operations.functions);
    await expect(system.properties([])).rejects.toMatchObject({
      code: "Internal",
      message: expect.stringContaining("properties.Id"),
    });
  });
});

describe("a host", () => {
  it("lists only VMs", async () => {
    await create();
    expect(await host.enumerateComputeSystems("test")).toMatchObject([{ Id: "vm", Owner: "test" }]);
    expect(await host.enumerateComputeSystems("other")).toEqual([]);
  });

  it("that is closed closes its systems, and refuses calls", async () => {
    const system = await create();
    const exited = expect(system.exited).rejects.toMatchObject({ code: "Cancelled", gone: true });
    await Promise.all([host.close(), host.close()]);
    await exited;
    await expect(system.start()).rejects.toMatchObject({ code: "FailedPrecondition", gone: true });
    await expect(create("other")).rejects.toMatchObject({ code: "Cancelled", operation: "create compute system" });
    await expect(host.networks.queryNetwork(someId)).rejects.toMatchObject({ code: "Cancelled" });
    await expect(host.disks.sizeOf("a.vhdx")).rejects.toMatchObject({ code: "Cancelled" });
  });

  it("closes the rest of itself if a part cannot be closed", async () => {
    const other = await on.connect();
    const system = await other.createComputeSystem("vm", on.document({ owner: "test", endsWithLastHandle: true }));
    const listener = await system.listen(1);
    const accepting = expect(listener.accept()).rejects.toThrow();
    Object.assign(other.windows, { close: () => Promise.reject(new Error("cannot unmount")) });
    Object.assign(other.networks, { close: () => Promise.reject(new Error("cannot end the notifications")) });
    await expect(other.close()).rejects.toThrow("cannot unmount");
    await accepting;
  });

  it("opens a stopped system, and reports its exit", async () => {
    const system = await create();
    await system.terminate();
    const again = await host.openComputeSystem("vm");
    expect(await again.exited).toEqual({ Status: 0, ExitType: "Unknown" });
  });

  it("fails pending calls when the service is lost, and uses the next service", async () => {
    const system = await create();
    const process = await system.createProcess({ CommandLine: "run" });
    const lost = { code: "Unavailable", hresultName: "HCS_E_SERVICE_DISCONNECT" };
    const exits = [
      expect(system.exited).rejects.toMatchObject(lost),
      expect(process.exited).rejects.toMatchObject(lost),
    ];
    await on.loseService();
    await Promise.all(exits);
    await expect(process.terminate()).rejects.toMatchObject(lost);
    await create("next");
  });

  it("receives a crash before the exit", async () => {
    const system = await create();
    await system.start();
    const [handle] = [...on.core.systems.values()];
    on.core.send(handle ?? {}, 0x3, '{"CrashLog":"panic"}');
    on.core.send(handle ?? {}, 0x6);
    await system.crash();
    expect(await system.exited).toMatchObject({ ExitType: "UnexpectedExit" });
    expect(system.crashReport).toEqual({ CrashLog: "panic" });
  });

  it.each([
    ["no document at all", undefined, { Status: 0, ExitType: "Unknown" }],
    ["something else", '{"Colour":"red"}', { Status: 0, ExitType: "Unknown" }],
    ["a failure", '{"Status":-1070137086,"ExitType":"UnexpectedExit"}', { Status: -1070137086 }],
  ])("accepts an exit event with %s", async (_, data, status) => {
    const system = await create();
    const [handle] = [...on.core.systems.values()];
    on.core.send(handle ?? {}, 0x1, data);
    expect(await system.exited).toMatchObject(status);
  });

  it("has live migration if the system's DLL has it", async () => {
    const system = await create();
    expect(system.liveMigration).toBeUndefined();
    const asked: string[] = [];
    const call = (_system: bigint, operation: bigint, options: string): Promise<number> =>
      on.core.operations.begin(operation, () => {
        asked.push(options);
        return {};
      });
    for (const name of [
      "InitializeLiveMigrationOnSource",
      "StartLiveMigrationOnSource",
      "StartLiveMigrationTransfer",
    ]) {
      Object.assign(on.machine.dlls.computecore ?? {}, { [`Hcs${name}`]: call });
    }
    expect(system.liveMigration).toBeUndefined();
    const rest = { HcsFinalizeLiveMigration: call, HcsCancelLiveMigration: call };
    Object.assign(on.machine.dlls.computecore ?? {}, rest);
    await system.liveMigration?.initializeOnSource({ Origin: "Source" });
    await system.liveMigration?.startOnSource({ NetworkSettings: { SessionId: 1 } });
    await system.liveMigration?.startTransfer({ Origin: "Source" });
    await system.liveMigration?.cancel({ Origin: "Source" });
    await system.liveMigration?.finalize({ Origin: "Source", FinalizedOperation: "Stop" });
    expect(asked).toHaveLength(5);
    expect(asked[0]).toBe('{"Origin":"Source"}');
  });
});

describe("the service", () => {
  it("is queried and modified", async () => {
    expect(await host.service.properties({ PropertyTypes: ["Basic"] })).toEqual({
      Properties: [{ PropertyTypes: ["Basic"] }],
    });
    await expect(host.service.modify({ PropertyType: "CpuGroup" })).rejects.toMatchObject({
      code: "NotFound",
      message: expect.stringContaining("no such group"),
    });
  });

  it("opens files to VMs", async () => {
    await host.grantVmAccess("vm", "/kernel");
    await expect(host.grantVmAccess("vm", "/missing")).rejects.toMatchObject({ code: "NotFound" });
    await host.service.revokeVmAccess("vm", "/kernel");
    await host.service.createEmptyRuntimeStateFile("/state");
  });
});

describe("a process", () => {
  it("has the requested streams, and an exit code", async () => {
    const system = await create();
    const process = await system.createProcess({ CommandLine: "run", CreateStdInPipe: true, CreateStdErrPipe: true });
    expect(Object.keys(process.stdio)).toEqual(["stdin", "stderr"]);
    expect(await process.properties()).toMatchObject({ ProcessId: process.processId, Exited: false });
    await process.signal({ Signal: "CtrlC" });
    expect(await process.exited).toBe('{"Signal":"CtrlC"}'.length);
    await process.close();
    expect(process.stdio.stdin?.destroyed).toBe(true);
  });

  it("that is opened after its exit has its exit code", async () => {
    const system = await create();
    const process = await system.openProcess(42);
    expect(process.processId).toBe(42);
    expect(Object.keys(process.stdio)).toEqual(["stdout"]);
    for (const handle of on.core.processes.values()) on.core.exitProcess(handle, 3);
    expect(await process.exited).toBe(3);
    await process.terminate();
  });

  it("is ended if its creation is aborted", async () => {
    const system = await create();
    const controller = new AbortController();
    const creating = system.createProcess({ CommandLine: "run", CreateStdOutPipe: true }, controller.signal);
    controller.abort();
    await expect(creating).rejects.toMatchObject({ code: "Cancelled" });
    await expect.poll(() => on.core.processes.size).toBe(0);
  });

  it("that fails closes the handles that it was given", async () => {
    const system = await create();
    const HcsGetOperationResultAndProcessInfo = (operation: bigint, information: Buffer, output: Buffer): number => {
      on.core.operations.result(operation, output, information);
      return hresults.E_FAIL | 0;
    };
    Object.assign(on.machine.dlls.computecore ?? {}, { HcsGetOperationResultAndProcessInfo });
    const stdio = { CreateStdInPipe: true, CreateStdErrPipe: true };
    await expect(system.createProcess({ CommandLine: "run", ...stdio })).rejects.toMatchObject({ code: "Internal" });
    expect(on.core.stdio.size).toBe(0);
  });

  it("is no longer waited for once the handle of its system closes", async () => {
    const system = await create();
    const process = await system.createProcess({ CommandLine: "run" });
    const exited = expect(process.exited).rejects.toMatchObject({ code: "Cancelled", gone: true });
    await system.close();
    await exited;
  });
});

const someId = "00000001-0000-4000-8000-0000000c0de0";

describe("networks", () => {
  it("are made with an id from the driver, and a schema version", async () => {
    const { ID, Type } = await host.networks.createNetwork({ Type: "NAT", Name: "named" });
    expect(Type).toBe("NAT");
    expect(ID).toMatch(/^[0-9a-f-]{36}$/);
    expect(on.networks.objects.get(ID)?.properties).toMatchObject({ SchemaVersion: { Major: 2, Minor: 0 } });
    expect(await host.networks.enumerate("network")).toEqual([ID]);
    const endpoint = await host.networks.createEndpoint(ID.toUpperCase(), {});
    expect(endpoint).toMatchObject({ HostComputeNetwork: ID, HostComputeNamespace: "" });
  });

  it("are deleted again if they cannot be queried, or the caller aborts", async () => {
    // The creation; then the query.
    failAfter(1);
    await expect(host.networks.createNetwork({ Type: "NAT" })).rejects.toMatchObject({ code: "Internal" });
    expect(on.machine.struck).toBe("HcnQueryNetworkProperties");
    expect(on.networks.objects.size).toBe(0);
    const controller = new AbortController();
    const creating = host.networks.createNamespace({}, controller.signal);
    controller.abort();
    await expect(creating).rejects.toMatchObject({ code: "Cancelled" });
    await on.machine.settled();
    await expect.poll(() => on.networks.objects.size).toBe(0);
  });

  it("refuse invalid ids, and report missing objects", async () => {
    await expect(host.networks.queryNetwork("contract")).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(host.networks.createNetwork({ ID: "7", Type: "NAT" })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    await expect(host.networks.createEndpoint(someId, {})).rejects.toMatchObject({ code: "NotFound", gone: true });
    await expect(host.networks.deleteNamespace(someId)).rejects.toMatchObject({ code: "NotFound", gone: true });
    await expect(host.networks.queryEndpoint(someId)).rejects.toMatchObject({
      code: "NotFound",
      message: expect.stringContaining("HCN_E_ENDPOINT_NOT_FOUND."),
    });
  });

  it("pass on requests", async () => {
    const { ID: namespace } = await host.networks.createNamespace({ Type: "Guest" });
    await host.networks.addNamespaceEndpoint(namespace, someId);
    await host.networks.removeNamespaceEndpoint(namespace, someId);
    expect(on.networks.requests).toEqual(
      ["Add", "Remove"].map((RequestType) => ({
        ResourceType: "Endpoint",
        RequestType,
        Settings: { EndpointId: someId },
      })),
    );
  });

  it("report their changes until the notifications are closed", async () => {
    const heard: number[] = [];
    const notifications = await host.networks.listen((type) => heard.push(type));
    on.networks.notify(2);
    await Promise.all([notifications.close(), notifications.close()]);
    on.networks.notify(4);
    expect(heard).toEqual([2]);
    await host.networks.listen(() => {});
  });
});

describe("virtual disks", () => {
  it("are created in the format of their file extension", async () => {
    await host.disks.create({ path: "a.vhdx", size: 1 << 30, blockSize: 1 << 20 });
    await host.disks.create({ path: "B.VHD", size: 1 << 20, fixed: true });
    await host.disks.create({ path: "ü😀.avhdx", parent: "a.vhdx" });
    await host.disks.create({ path: "copy.vhdx", source: "ü😀.avhdx" });
    expect(Object.fromEntries(on.disks.disks)).toEqual({
      "a.vhdx": { size: 1 << 30, device: 3, fixed: false },
      "B.VHD": { size: 1 << 20, device: 2, fixed: true },
      "ü😀.avhdx": { size: 0, device: 3, fixed: false, parent: "a.vhdx" },
      "copy.vhdx": { size: 0, device: 3, fixed: false, source: "ü😀.avhdx" },
    });
    expect(await host.disks.chainOf("ü😀.avhdx")).toEqual(["ü😀.avhdx", "a.vhdx"]);
    await expect(host.disks.create({ path: "a.vhdx" })).rejects.toMatchObject({ hresult: 0x80070050 });
    await expect(host.disks.create({ path: "a.iso" })).rejects.toMatchObject({ code: "InvalidArgument" });
  });

  it("are expanded, formatted, attached, measured and detached", async () => {
    await host.disks.create({ path: "a.vhdx", size: 1 << 30 });
    await host.disks.expand("a.vhdx", 2 ** 31);
    await host.disks.formatWritableLayer("a.vhdx");
    expect(await host.disks.attach("a.vhdx", { readOnly: true })).toBe("\\\\.\\PhysicalDrive7");
    expect(on.disks.disks.get("a.vhdx")).toMatchObject({ attached: "read-only", formatted: true });
    expect(await host.disks.sizeOf("a.vhdx")).toEqual({ virtualSize: 2 ** 31, physicalSize: 4096 });
    await host.disks.detach("a.vhdx");
    expect(on.disks.disks.get("a.vhdx")?.attached).toBeUndefined();
    await expect(host.disks.sizeOf("missing.vhdx")).rejects.toMatchObject({ code: "NotFound" });
  });

  it("are detached if their device path cannot be read, or the caller aborts", async () => {
    await host.disks.create({ path: "a.vhdx", size: 1 << 30 });
    failAfter(2);
    await expect(host.disks.attach("a.vhdx", { readOnly: false })).rejects.toMatchObject({ id: "a.vhdx" });
    expect(on.machine.struck).toBe("GetVirtualDiskPhysicalPath");
    expect(on.disks.disks.get("a.vhdx")?.attached).toBeUndefined();
    const controller = new AbortController();
    const attaching = host.disks.attach("a.vhdx", { readOnly: false }, controller.signal);
    controller.abort();
    await expect(attaching).rejects.toMatchObject({ code: "Cancelled" });
    await on.machine.settled();
    await expect.poll(() => on.disks.disks.get("a.vhdx")?.attached).toBeUndefined();
  });

  it("are refused with a missing parent, or a circle of parents", async () => {
    await host.disks.create({ path: "a.vhdx", parent: "missing.vhdx" });
    await expect(host.disks.chainOf("a.vhdx")).rejects.toMatchObject({ code: "NotFound" });
    await host.disks.create({ path: "one.vhdx", parent: "two.vhdx" });
    await host.disks.create({ path: "two.vhdx", parent: "one.vhdx" });
    await expect(host.disks.chainOf("one.vhdx")).rejects.toMatchObject({ code: "FailedPrecondition" });
  });
});
