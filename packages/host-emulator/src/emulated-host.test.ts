import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type HresultName, hresults, resourcePaths, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { EmulatedHost } from "./emulated-host.ts";
import type { GuestKind } from "./guest-machine.ts";
import type { ComputeSystem } from "./system/compute-system.ts";
import { FakeKind, type FakeMachine, TestFiles } from "./testing/fake-guest.ts";
import { FakeSwitches } from "./testing/fake-switches.ts";

const files = new TestFiles();
afterAll(() => files.remove());

let kind: FakeKind;
let host: EmulatedHost;
let reports: string[];

beforeEach(() => {
  kind = new FakeKind();
  reports = [];
  host = new EmulatedHost({
    stateDirectory: files.directory,
    kinds: [kind],
    switches: new FakeSwitches(),
    report: (message) => reports.push(message),
    endTimeoutMs: 40,
  });
});

const owner = { systemExited: (): void => {} };

async function running(id: string, options = {}): Promise<{ system: ComputeSystem; machine: FakeMachine }> {
  const system = host.create(id, files.document(options));
  system.openHandle(owner);
  await system.start();
  const machine = kind.machines.at(-1);
  if (machine === undefined) throw new Error("no machine was made");
  return { system, machine };
}

function resultOf(name: HresultName): { readonly hresult: number } {
  return expect.objectContaining({ hresult: hresults[name] }) as { readonly hresult: number };
}

async function failure(action: () => unknown): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

describe("create", () => {
  it("refuses an id that is in use", async () => {
    host.create("one", files.document());
    expect(await failure(() => host.create("one", files.document()))).toEqual(resultOf("HCS_E_SYSTEM_ALREADY_EXISTS"));
  });

  it.each<[string, (document: Record<string, unknown>) => unknown, HresultName | "SchemaError", RegExp]>([
    ["an unknown field", (document) => ({ ...document, Colour: 1 }), "SchemaError", /^Colour: unknown field/],
    [
      "a schema version",
      (d) => ({ ...d, SchemaVersion: { Major: 1, Minor: 0 } }),
      "HCS_E_UNSUPPORTED_PROTOCOL_VERSION",
      /1\.0/,
    ],
    [
      "a missing kernel",
      () => files.document({ kernel: "/nowhere" }),
      "ERROR_FILE_NOT_FOUND",
      /KernelFilePath: \/nowhere/,
    ],
    [
      "a missing disk",
      () => files.document({ disks: { "3": "/gone" } }),
      "ERROR_FILE_NOT_FOUND",
      /Attachments\.3\.Path: \/gone/,
    ],
    [
      "a VHDX for a guest that cannot have one, before anything boots",
      () => files.document({ disks: { "3": files.write("some.vhdx", "vhdxfile and more") } }),
      "ERROR_NOT_SUPPORTED",
      /^VirtualMachine\.Devices\.Scsi\.0\.Attachments\.3\.Path: \S+ is a VHDX: expected a raw image or a fixed VHD/,
    ],
    [
      "a kernel of no known guest kind",
      () => files.document({ kernel: files.write("foreign", "") }),
      "ERROR_NOT_SUPPORTED",
      /unsupported kernel/,
    ],
  ])("refuses %s", async (_what, change, result, message) => {
    const document = change({ ...files.document() });
    const error = await failure(() => host.create("refused", document));
    expect(error).toMatchObject(result === "SchemaError" ? { name: "SchemaError" } : { hresult: hresults[result] });
    expect(error).toHaveProperty("message", expect.stringMatching(message));
    expect(host.isEmpty).toBe(true);
  });

  it("rejects a state directory that is too long for socket addresses", () => {
    const stateDirectory = `/${"d".repeat(80)}`;
    expect(() => new EmulatedHost({ stateDirectory, kinds: [], report: () => {} })).toThrow(/at most \d+ bytes/);
  });

  it("makes the VM's directory, and removes it with the system", async () => {
    const { system } = await running("one");
    const directory = join(system.vsockBase, "..");
    expect(existsSync(directory)).toBe(true);
    await system.terminate();
    expect(existsSync(directory)).toBe(false);
  });
});

describe("a system's life", () => {
  it("goes from created through running to stopped", async () => {
    const { system } = await running("one", { disks: { "0": files.write("boot-disk", "x") } });
    expect(kind.machines[0]?.calls).toEqual(["boot", "attach 0:0"]);
    expect(host.enumerate("test").map((properties) => properties.State)).toEqual(["Running"]);
    expect(host.enumerate("somebody else")).toEqual([]);
    await system.terminate();
    expect(await system.exited).toEqual({ Status: 0, ExitType: "ForcedExit" });
    expect(host.enumerate().map((properties) => properties.State)).toEqual(["Stopped"]);
    system.closeHandle(owner);
    expect(host.isEmpty).toBe(true);
    expect(await failure(() => host.find("one"))).toEqual(resultOf("HCS_E_SYSTEM_NOT_FOUND"));
  });

  it("starts only once, and not after its end", async () => {
    const { system } = await running("one");
    expect(await failure(() => system.start())).toEqual(resultOf("HCS_E_INVALID_STATE"));
    await system.terminate();
    expect(await failure(() => system.start())).toEqual(resultOf("HCS_E_INVALID_STATE"));
    expect(await failure(() => system.terminate())).toEqual(resultOf("HCS_E_SYSTEM_ALREADY_STOPPED"));
    expect(await failure(() => system.shutdown())).toEqual(resultOf("HCS_E_SYSTEM_ALREADY_STOPPED"));
  });

  it("can end before it is started", async () => {
    const system = host.create("one", files.document());
    system.openHandle(owner);
    expect(await failure(() => system.shutdown())).toEqual(resultOf("HCS_E_INVALID_STATE"));
    await system.terminate();
    expect(await system.exited).toEqual({ Status: 0, ExitType: "ForcedExit" });
    expect(kind.machines).toEqual([]);
  });

  it("ends if it is terminated while it starts", async () => {
    kind.prepare = (machine) => {
      machine.hangs = true;
    };
    const system = host.create("one", files.document());
    system.openHandle(owner);
    const start = failure(() => system.start());
    await system.terminate();
    expect(await start).toEqual(resultOf("HCS_E_TERMINATED_DURING_START"));
    expect(await system.exited).toMatchObject({ ExitType: "ForcedExit" });
  });

  it("ends if its start fails", async () => {
    kind.prepare = (machine) => {
      machine.failure = new Error("the disk is on fire");
    };
    const system = host.create("one", files.document({ disks: { "0": files.write("burning", "x") } }));
    system.openHandle(owner);
    expect(await failure(() => system.start())).toMatchObject({ message: "the disk is on fire" });
    expect(await system.exited).toMatchObject({ ExitType: "UnexpectedExit" });
  });

  it("distinguishes an orderly end, a shutdown and a crash", async () => {
    const first = await running("orderly");
    first.machine.end({ orderly: true });
    expect(await first.system.exited).toEqual({ Status: 0, ExitType: "GracefulExit" });
    const second = await running("shutdown");
    await second.system.shutdown();
    expect(await second.system.exited).toEqual({ Status: 0, ExitType: "GracefulExit" });
    const third = await running("crash");
    third.machine.end({ orderly: false });
    expect(await third.system.exited).toEqual({
      Status: hresults.HCS_E_UNEXPECTED_EXIT,
      ExitType: "UnexpectedExit",
      Attribution: [{ GuestCrash: {} }],
    });
  });

  it("answers a terminate that takes too long with a timeout", async () => {
    const { system, machine } = await running("one");
    machine.kill = () => {};
    expect(await failure(() => system.terminate())).toEqual(resultOf("HCS_E_OPERATION_TIMEOUT"));
    machine.end({ orderly: false });
    expect(await system.exited).toMatchObject({ ExitType: "ForcedExit" });
  });
});

describe("handles", () => {
  it("end the system when the last one closes, if the document says so", async () => {
    const { system, machine } = await running("one", { endsWithLastHandle: true });
    const second = { systemExited: (): void => {} };
    host.find("one").openHandle(second);
    system.closeHandle(owner);
    system.closeHandle(owner);
    expect(machine.calls).not.toContain("kill");
    system.closeHandle(second);
    expect(await system.exited).toMatchObject({ ExitType: "ForcedExit" });
    expect(host.isEmpty).toBe(true);
  });

  it("otherwise leave the system running", async () => {
    const { system, machine } = await running("one");
    system.closeHandle(owner);
    expect(host.find("one")).toBe(system);
    machine.end({ orderly: true });
    await system.exited;
    expect(host.isEmpty).toBe(true);
  });

  it("are notified of a crash before the exit", async () => {
    const { system, machine } = await running("one");
    const heard: unknown[] = [];
    system.openHandle({
      systemCrashed: (report) => heard.push(report),
      systemExited: ({ ExitType }) => heard.push(ExitType),
    });
    machine.end({ orderly: false });
    await system.exited;
    expect(heard).toEqual([{ SystemId: "one", CrashLog: "the test ended it\nlast words" }, "UnexpectedExit"]);
  });

  it("are notified of the exit once each, even if they are opened later", async () => {
    const { system } = await running("one");
    const heard: string[] = [];
    system.openHandle({ systemExited: ({ ExitType }) => heard.push(`early ${ExitType}`) });
    await system.terminate();
    system.openHandle({ systemExited: ({ ExitType }) => heard.push(`late ${ExitType}`) });
    expect(heard).toEqual(["early ForcedExit", "late ForcedExit"]);
  });
});

describe("modify", () => {
  const guid = scsiControllerGuids[0];
  const disk = (Path: string, ReadOnly = false) => ({ Type: "VirtualDisk", Path, ReadOnly });
  const add = (lun: number, Settings: unknown) => ({
    ResourcePath: resourcePaths.scsi(guid, lun),
    RequestType: "Add",
    Settings,
  });
  const remove = (lun: number) => ({ ResourcePath: resourcePaths.scsi(guid, lun), RequestType: "Remove" });
  const share = (name: string, more = {}) => ({
    ResourcePath: resourcePaths.plan9Shares,
    RequestType: "Add",
    Settings: { Name: name, AccessName: name, Path: files.directory, Port: 564, Flags: 0, ...more },
  });

  it("attaches and detaches disks, by GUID and number of the controller", async () => {
    const { system, machine } = await running("one");
    const path = files.write("disk", "x");
    await system.modify(add(5, disk(path)));
    await system.modify({ ResourcePath: "VirtualMachine/Devices/Scsi/0/Attachments/5", RequestType: "Remove" });
    await system.modify(add(5, disk(path)));
    expect(machine.calls).toEqual(["boot", "attach 0:5", "detach 0:5", "attach 0:5"]);
  });

  it("adds and removes shares", async () => {
    const { system, machine } = await running("one");
    await system.modify(share("a"));
    expect(await failure(() => system.modify(share("a")))).toEqual(resultOf("ERROR_ALREADY_EXISTS"));
    const removal = { ...share("a"), RequestType: "Remove", Settings: { Name: "a", AccessName: "a", Port: 564 } };
    await system.modify(removal);
    expect(await failure(() => system.modify(removal))).toEqual(resultOf("ERROR_NOT_FOUND"));
    expect(machine.calls).toEqual(["boot", "share a", "unshare a"]);
  });

  it.each<[string, () => unknown, HresultName]>([
    ["an unknown path", () => ({ ResourcePath: "VirtualMachine/Devices/Toaster", RequestType: "Add" }), "E_INVALIDARG"],
    [
      "an unknown controller GUID",
      () => ({
        ...add(0, disk(files.kernel)),
        ResourcePath: resourcePaths.scsi("00000000-0000-0000-0000-000000000000", 0),
      }),
      "E_INVALIDARG",
    ],
    ["a LUN out of range", () => add(64, disk(files.kernel)), "E_INVALIDARG"],
    [
      "a controller that is not in the document",
      () => ({ ...add(0, disk(files.kernel)), ResourcePath: resourcePaths.scsi(scsiControllerGuids[1], 0) }),
      "HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION",
    ],
    ["a free LUN to detach", () => remove(9), "ERROR_NOT_FOUND"],
    ["a missing disk", () => add(1, disk("/nowhere")), "ERROR_FILE_NOT_FOUND"],
    ["a relative path", () => add(1, disk("disk")), "E_INVALIDARG"],
    ["a directory as a disk", () => add(1, disk(files.directory)), "E_INVALIDARG"],
    ["an update", () => ({ ...remove(0), RequestType: "Update" }), "E_INVALIDARG"],
    ["allowed files without the flag", () => share("x", { AllowedFiles: ["kernel"] }), "E_INVALIDARG"],
    ["allowed files outside", () => share("x", { Flags: 0x80, AllowedFiles: ["../x"] }), "E_INVALIDARG"],
    ["allowed files that are missing", () => share("x", { Flags: 0x80, AllowedFiles: ["x"] }), "ERROR_FILE_NOT_FOUND"],
  ])("refuses %s", async (_what, request, result) => {
    const { system } = await running("one");
    expect(await failure(() => system.modify(request()))).toEqual(resultOf(result));
  });

  it("updates memory, processors and CPU group", async () => {
    const { system, machine } = await running("one");
    const update = (ResourcePath: string, Settings: unknown) =>
      system.modify({ ResourcePath, RequestType: "Update", Settings });
    await update(resourcePaths.memorySize, 512);
    await update(resourcePaths.processorLimits, { Limit: 5_000, Weight: 7 });
    await update(resourcePaths.cpuGroup, { Id: "00000000-0000-0000-0000-000000000000" });
    expect(machine.calls).toEqual(["boot", "memory 512", 'processors {"limit":5000,"weight":7}', "cpus all"]);
    await expect(update(resourcePaths.memorySize, 511)).rejects.toThrow(
      "Settings: expected a positive even number of mebibytes",
    );
    await expect(update(resourcePaths.cpuGroup, { Id: "first" })).rejects.toThrow("Settings.Id: expected a GUID");
    expect(await failure(() => system.modify({ ...remove(0), ResourcePath: resourcePaths.memorySize }))).toEqual(
      resultOf("E_INVALIDARG"),
    );
  });

  it("reports the usage of a running system on request", async () => {
    const { system } = await running("one");
    expect(system.properties()).not.toHaveProperty("Statistics");
    expect(system.properties(["Statistics"])).toMatchObject({ Statistics: { Processor: { TotalRuntime100ns: 30 } } });
    expect(system.properties(["Memory"])).toMatchObject({ Memory: { VirtualNodeCount: 1 } });
    expect(system.workingSetBytes).toBe(64 * 2 ** 20);
    await system.terminate();
    expect(() => system.workingSetBytes).toThrow("cannot measure a Stopped system");
  });

  it("refuses an occupied LUN with ERROR_ALREADY_EXISTS", async () => {
    const { system } = await running("one");
    await system.modify(add(0, disk(files.kernel, true)));
    expect(await failure(() => system.modify(add(0, disk(files.kernel, true))))).toEqual(
      resultOf("ERROR_ALREADY_EXISTS"),
    );
  });

  it("names the field of settings that do not fit the resource path", async () => {
    const { system } = await running("one");
    expect(await failure(() => system.modify(add(0, { ...disk("/x"), Colour: 1 })))).toHaveProperty(
      "message",
      expect.stringMatching(/^Settings\.Colour: unknown field/),
    );
  });

  it("needs a running system", async () => {
    const system = host.create("one", files.document());
    expect(await failure(() => system.modify(remove(0)))).toEqual(resultOf("HCS_E_INVALID_STATE"));
  });

  it("gives a disk to one writer or many readers", async () => {
    const { system: first } = await running("first");
    const { system: second } = await running("second");
    const path = files.write("shared", "x");
    await first.modify(add(0, disk(path, true)));
    await second.modify(add(0, disk(path, true)));
    expect(await failure(() => second.modify(add(1, disk(path))))).toEqual(resultOf("ERROR_SHARING_VIOLATION"));
    await first.modify(remove(0));
    await second.modify(remove(0));
    await first.modify(add(0, disk(path)));
    expect(await failure(() => second.modify(add(0, disk(path, true))))).toEqual(resultOf("ERROR_SHARING_VIOLATION"));
    await first.terminate();
    await second.modify(add(0, disk(path)));
  });

  it("releases a disk that the machine could not attach", async () => {
    const { system, machine } = await running("one");
    const path = files.write("reluctant", "x");
    machine.failure = new Error("no");
    await failure(() => system.modify(add(0, disk(path))));
    await system.modify(add(0, disk(path)));
    expect(machine.calls).toEqual(["boot", "attach 0:0", "attach 0:0"]);
  });
});

describe("the host", () => {
  it("removes what a killed host left behind", async () => {
    const stateDirectory = join(files.directory, "killed");
    const directory = join(stateDirectory, "vm", "0123456789ab");
    mkdirSync(directory, { recursive: true });
    await new EmulatedHost({ stateDirectory, kinds: [kind], report: () => {} }).removeLeftovers();
    expect(kind.leftovers).toEqual(["0123456789ab"]);
    expect(existsSync(directory)).toBe(false);
  });

  it("does not trust files in a VM's directory, where the guest can write", async () => {
    const stateDirectory = join(files.directory, "forged");
    const directory = join(stateDirectory, "vm", "0123456789ab");
    mkdirSync(directory, { recursive: true });
    for (const name of ["pod-group", "pod-groups"]) writeFileSync(join(directory, name), "/kubepods/of-another");
    const asked: unknown[] = [];
    const watching: GuestKind = {
      name: kind.name,
      readsVhdx: kind.readsVhdx,
      recognises: (boot) => kind.recognises(boot),
      create: (specification) => kind.create(specification),
      removeLeftovers: async (name, podGroup) => void asked.push([name, podGroup]),
      close: () => {},
    };
    await new EmulatedHost({ stateDirectory, kinds: [watching], report: () => {} }).removeLeftovers();
    expect(asked).toEqual([["0123456789ab", undefined]]);
    expect(existsSync(directory)).toBe(false);
  });

  it("ends every system when it closes, and reports those that do not end", async () => {
    await running("ends");
    const { machine } = await running("hangs");
    machine.kill = () => {};
    await host.close();
    expect(reports).toEqual([expect.stringMatching(/^system hangs: terminate: the system did not end within 40 ms/)]);
  });
});

describe("NICs", () => {
  const nicId = "AAAAAAAA-0000-4000-8000-000000000001";
  const key = nicId.toLowerCase();

  async function endpoint(): Promise<string> {
    const { ID: network } = await host.networks.create("network", { Type: "Private" });
    const { ID: namespace } = await host.networks.create("namespace", {});
    const { ID: EndpointId } = await host.networks.create("endpoint", {}, network);
    const Settings = { EndpointId };
    await host.networks.modifyNamespace(namespace, { ResourceType: "Endpoint", RequestType: "Add", Settings });
    return EndpointId;
  }

  const request = (RequestType: "Add" | "Remove", EndpointId: string, more: object = {}) => ({
    ResourcePath: resourcePaths.networkAdapter(nicId),
    RequestType,
    Settings: { EndpointId, ...more },
  });

  it("are plugged and unplugged, and hold their endpoint in between", async () => {
    const { system, machine } = await running("vm");
    const { system: other } = await running("other");
    const id = await endpoint();
    await system.modify(request("Add", id));
    expect(await failure(() => system.modify(request("Add", id)))).toEqual(resultOf("ERROR_ALREADY_EXISTS"));
    expect(await failure(() => other.modify(request("Add", id)))).toEqual(resultOf("HCN_E_ENDPOINT_ALREADY_ATTACHED"));
    await system.modify(request("Remove", id));
    expect(await failure(() => system.modify(request("Remove", id)))).toEqual(resultOf("ERROR_NOT_FOUND"));
    expect(machine.calls).toEqual(["boot", `add NIC ${key}`, `remove NIC ${key}`]);
    await other.modify(request("Add", id));
  });

  it("release their endpoint if they cannot be plugged, and when the VM ends", async () => {
    const { system, machine } = await running("vm");
    const id = await endpoint();
    machine.failure = new Error("no slot");
    expect(await failure(() => system.modify(request("Add", id)))).toMatchObject({ message: "no slot" });
    await system.modify(request("Add", id));
    await system.terminate();
    const { system: next } = await running("next");
    await next.modify(request("Add", id));
  });

  it("stay, disconnected, when their endpoint is deleted", async () => {
    const { system, machine } = await running("vm");
    const id = await endpoint();
    await system.modify(request("Add", id));
    await host.networks.delete("endpoint", id);
    await system.modify(request("Remove", id));
    expect(machine.calls.slice(1)).toEqual([`add NIC ${key}`, `disconnect NIC ${key}`, `remove NIC ${key}`]);
    expect(reports).toEqual([]);
  });

  it("are refused with an invalid path, MAC address or endpoint, or before the start", async () => {
    const { system } = await running("vm");
    const created = host.create("created", files.document());
    const id = await endpoint();
    const path = { ...request("Add", id), ResourcePath: resourcePaths.networkAdapter("eth0") };
    expect(await failure(() => system.modify(path))).toEqual(resultOf("E_INVALIDARG"));
    expect(await failure(() => created.modify(request("Add", id)))).toEqual(resultOf("HCS_E_INVALID_STATE"));
    const mac = request("Add", id, { MacAddress: "00-15-5D-99-99-99" });
    expect(await failure(() => system.modify(mac))).toEqual(resultOf("E_INVALIDARG"));
    expect(await failure(() => system.modify(request("Add", nicId)))).toEqual(resultOf("HCN_E_ENDPOINT_NOT_FOUND"));
    expect(String(await failure(() => system.modify(request("Add", id, { Speed: 1 }))))).toContain("Settings.Speed");
  });
});

it("is not empty while there are networks", async () => {
  expect(host.isEmpty).toBe(true);
  const { ID } = await host.networks.create("network", { Type: "Private" });
  expect(host.isEmpty).toBe(false);
  await host.networks.delete("network", ID);
  expect(host.isEmpty).toBe(true);
});
