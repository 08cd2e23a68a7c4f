import { type HresultName, hresults, resourcePaths } from "@uvm-shim/hcs-schema";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import { readSettings } from "../service/run-emulator.ts";
import { FakeKind, type FakeMachine, TestFiles } from "../testing/fake-guest.ts";
import type { ComputeSystem } from "./compute-system.ts";

const files = new TestFiles();
afterAll(() => files.remove());

const guid = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
const declared = {
  devices: [
    { instancePath: "PCIP\\A", functions: 2, characterDevice: "/dev/full", directory: files.directory },
    { instancePath: "PCIP\\B" },
    { instancePath: "PCIP\\GONE", directory: "/nowhere" },
    { instancePath: "PCIP\\FILE", directory: files.kernel },
  ],
};

let kind: FakeKind;
let host: EmulatedHost;
let devicesFile: string;

beforeEach(() => {
  kind = new FakeKind();
  devicesFile = files.write("devices.json", JSON.stringify(declared));
  host = new EmulatedHost({ stateDirectory: files.directory, devicesFile, kinds: [kind], report: () => {} });
});

async function running(id: string, document: object = files.document()) {
  const system = host.create(id, document);
  system.openHandle({ systemExited: () => {} });
  await system.start();
  return { system, machine: kind.machines.at(-1) as FakeMachine };
}

const add = (system: ComputeSystem, number: number, path: string, VirtualFunction?: number): Promise<void> =>
  system.modify({
    ResourcePath: resourcePaths.virtualPci(guid(number)),
    RequestType: "Add",
    Settings: {
      Functions: [{ DeviceInstancePath: path, ...(VirtualFunction === undefined ? {} : { VirtualFunction }) }],
    },
  });
const remove = (system: ComputeSystem, number: number): Promise<void> =>
  system.modify({ ResourcePath: resourcePaths.virtualPci(guid(number).toUpperCase()), RequestType: "Remove" });

const failure = (name: HresultName, message?: RegExp) => ({
  hresult: hresults[name],
  ...(message === undefined ? {} : { message: expect.stringMatching(message) }),
});

describe("assigning declared devices", () => {
  it("gives each function to one system at a time", async () => {
    const { system: first, machine } = await running("first");
    const { system: second } = await running("second");
    await add(first, 1, "PCIP\\A");
    await expect(add(second, 2, "pcip\\a", 0)).rejects.toMatchObject(
      failure("ERROR_SHARING_VIOLATION", /function 0 of pcip\\a is already assigned to first/),
    );
    await expect(add(first, 2, "PCIP\\A")).rejects.toMatchObject(failure("ERROR_SHARING_VIOLATION"));
    await add(second, 2, "PCIP\\A", 1);
    await remove(first, 1);
    await add(second, 3, "PCIP\\A", 0);
    expect(machine.calls).toEqual(["boot", `assign ${guid(1)} PCIP\\A/0`, `unassign ${guid(1)}`]);
  });

  it("releases the devices of a system that ends", async () => {
    const { system: first } = await running("first");
    const { system: second } = await running("second");
    await add(first, 1, "PCIP\\B");
    await first.terminate();
    await add(second, 1, "PCIP\\B");
  });

  it("releases a device that the machine could not add, and keeps one that it could not remove", async () => {
    const { system, machine } = await running("one");
    machine.failure = new Error("no");
    await expect(add(system, 1, "PCIP\\B")).rejects.toThrow("no");
    await add(system, 1, "PCIP\\B");
    machine.failure = new Error("still no");
    await expect(remove(system, 1)).rejects.toThrow("still no");
    await expect(add(system, 2, "PCIP\\B")).rejects.toMatchObject(failure("ERROR_SHARING_VIOLATION"));
    await remove(system, 1);
  });

  it("assigns the document's devices when the system starts", async () => {
    const { VirtualMachine: machine, ...document } = files.document();
    const VirtualPci = { [guid(1)]: { Functions: [{ DeviceInstancePath: "PCIP\\B" }] } };
    const Devices = { ...machine.Devices, VirtualPci };
    const { system, machine: booted } = await running("one", {
      ...document,
      VirtualMachine: { ...machine, Devices },
    });
    expect(booted.calls).toEqual(["boot", `assign ${guid(1)} PCIP\\B/0`]);
    await remove(system, 1);
  });

  it("follows changes of the declaration", async () => {
    const { system } = await running("one");
    files.write("devices.json", JSON.stringify({ devices: [{ instancePath: "PCIP\\NEW" }] }));
    await add(system, 1, "PCIP\\NEW");
    await expect(add(system, 2, "PCIP\\B")).rejects.toMatchObject(failure("ERROR_NOT_FOUND"));
  });

  it.each<[string, (system: ComputeSystem) => Promise<void>, HresultName, RegExp]>([
    [
      "an unknown device",
      (on) => add(on, 1, "PCIP\\C"),
      "ERROR_NOT_FOUND",
      /^Settings\.Functions\[0\]\.DeviceInstancePath: device PCIP\\C is not declared in \/.*devices\.json$/,
    ],
    [
      "a function that it does not have",
      (on) => add(on, 1, "PCIP\\A", 2),
      "E_INVALIDARG",
      /invalid function 2 of .*: expected 0 to 1$/,
    ],
    ["a directory that is missing", (on) => add(on, 1, "PCIP\\GONE"), "ERROR_FILE_NOT_FOUND", /GONE: \/nowhere does/],
    [
      "a path that is no directory",
      (on) => add(on, 1, "PCIP\\FILE"),
      "E_INVALIDARG",
      /FILE: .* is not of the declared kind/,
    ],
    [
      "several functions at once",
      (on) =>
        on.modify({
          ResourcePath: resourcePaths.virtualPci(guid(1)),
          RequestType: "Add",
          Settings: { Functions: [{ DeviceInstancePath: "PCIP\\A" }, { DeviceInstancePath: "PCIP\\B" }] },
        }),
      "ERROR_NOT_SUPPORTED",
      /^Settings\.Functions: expected 1 function, got 2/,
    ],
    [
      "an invalid GUID",
      (on) => on.modify({ ResourcePath: resourcePaths.virtualPci("{1}"), RequestType: "Remove" }),
      "E_INVALIDARG",
      /^ResourcePath: VMBus GUID: expected a GUID, got "\{1\}"/,
    ],
    ["a device that is not assigned", (on) => remove(on, 9), "ERROR_NOT_FOUND", /VMBus GUID .* has no assigned device/],
    [
      "an update",
      (on) => on.modify({ ResourcePath: resourcePaths.virtualPci(guid(1)), RequestType: "Update" }),
      "E_INVALIDARG",
      /RequestType/,
    ],
  ])("refuses %s", async (_, request, result, message) => {
    const { system } = await running("one");
    await expect(request(system)).rejects.toMatchObject(failure(result, message));
  });

  it("refuses a GUID that is in use", async () => {
    const { system } = await running("one");
    await add(system, 1, "PCIP\\A");
    await expect(add(system, 1, "PCIP\\B")).rejects.toMatchObject(failure("ERROR_ALREADY_EXISTS"));
  });

  it("has no devices without a declaration, and reports what is wrong with one", async () => {
    const bare = new EmulatedHost({ stateDirectory: files.directory, kinds: [kind], report: () => {} });
    const system = bare.create("bare", files.document());
    await system.start();
    await expect(add(system, 1, "PCIP\\A")).rejects.toMatchObject(
      failure("ERROR_NOT_FOUND", /PCIP\\A is not declared$/),
    );
    const { system: other } = await running("other");
    for (const [text, message] of [
      ["[]", /expected an object, got a list/],
      ["{", /devices\.json: .*JSON/],
      ['{"devices":[{"instancePath":"A","functions":0}]}', /devices\[0\]\.functions: expected/],
      ['{"devices":[{"instancePath":"A","directory":"x"}]}', /devices\[0\]\.directory: expected an absolute path/],
      ['{"devices":[{"instancePath":"A"},{"instancePath":"a"}]}', /devices\[1\]\.instancePath: a is declared twice/],
    ] as const) {
      files.write("devices.json", text);
      await expect(add(other, 1, "PCIP\\A")).rejects.toMatchObject(failure("E_FAIL", message));
    }
  });
});

describe("the path of the declaration", () => {
  it("comes from the command line, or else from the environment", () => {
    const env = { UVM_SHIM_HOST_DEVICES: "/env.json" };
    expect(readSettings([], {})).not.toHaveProperty("devicesFile");
    expect(readSettings([], { UVM_SHIM_HOST_DEVICES: "" })).not.toHaveProperty("devicesFile");
    expect(readSettings([], env)).toHaveProperty("devicesFile", "/env.json");
    expect(readSettings(["--devices", "/arg.json"], env)).toHaveProperty("devicesFile", "/arg.json");
    expect(() => readSettings([], { UVM_SHIM_HOST_DEVICES: "x" })).toThrow(
      "UVM_SHIM_HOST_DEVICES: expected an absolute",
    );
    expect(() => readSettings(["--devices", "x"], {})).toThrow("--devices: expected an absolute path");
  });
});
