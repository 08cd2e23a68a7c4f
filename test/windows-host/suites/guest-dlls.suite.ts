/** Run under Wine: what the test host's DLLs refuse of those who serve Windows guests. */
import { randomUUID } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { hostStructures } from "../../../packages/hcs-bindings/src/windows/native/host-structures.ts";
import { guidText, wideText } from "../../../packages/hcs-bindings/src/windows/native/structures.ts";
import { systemStructures } from "../../../packages/hcs-bindings/src/windows/native/system-structures.ts";
import { addressOf, answerOf, controls, core, hex, kernel, vmcompute } from "./raw-dlls.ts";

const { WC_LAYER_DESCRIPTOR: descriptor, WC_LAYER_DRIVER_INFO: driverInfo } = hostStructures;
const { HVSOCKET_ADDRESS_INFO: addressInfo } = systemStructures;

const readAndWrite = 0xc000_0000;
const createNew = 1;
const createAlways = 2;
const invalidHandle = 0xffff_ffff_ffff_ffffn;
const updateAddressInfo = 0x21c004;
const [fileExists, invalidFunction, invalidParameter] = [80, 1, 87];
const invalidArgument = "0x80070057";

const open: bigint[] = [];
const entryOf = (guid: string, access = readAndWrite, disposition = createNew): bigint => {
  const path = `\\\\.\\HvSocketSystem\\AddressInfo\\{${guid}}`;
  const handle = kernel.call("CreateFileW", path, access, 0, null, disposition, 0, null);
  if (handle !== invalidHandle) open.push(handle);
  return handle;
};

afterEach(() => {
  for (const handle of open.splice(0)) kernel.call("CloseHandle", handle);
  expect(controls.counts().addressEntries).toBe(0);
});

describe("an entry of the hvsocket provider", () => {
  const write = (handle: bigint, entry: Buffer, code = updateAddressInfo): number =>
    kernel.call("DeviceIoControl", handle, code, entry, entry.length, null, 0, Buffer.alloc(4), null);

  it("is new, and gone when its handle is closed", () => {
    const guid = randomUUID();
    const handle = entryOf(guid);
    expect(handle).not.toBe(invalidHandle);
    expect(entryOf(guid.toUpperCase())).toBe(invalidHandle);
    expect(kernel.call("GetLastError")).toBe(fileExists);
    kernel.call("CloseHandle", open.pop() ?? 0n);
    expect(entryOf(guid)).not.toBe(invalidHandle);
  });

  it.each([
    ["no GUID", "container", readAndWrite, createNew],
    ["access for reading alone", randomUUID(), 0x8000_0000, createNew],
    ["another disposition", randomUUID(), readAndWrite, createAlways],
  ])("is refused with %s", (_what, guid, access, disposition) => {
    expect(entryOf(guid, access, disposition)).toBe(invalidHandle);
    expect(kernel.call("GetLastError")).toBe(invalidParameter);
  });

  it("takes what leads its own GUID into a VM, once", () => {
    const SystemId = randomUUID();
    const handle = entryOf(SystemId);
    const entry = { SystemId, VirtualMachineId: randomUUID(), Flags: 1 };
    const wrong: [Buffer, number?][] = [
      [addressInfo.encode({ ...entry, SystemId: randomUUID() })],
      [addressInfo.encode({ ...entry, SiloId: randomUUID() })],
      [addressInfo.encode({ ...entry, Flags: 0 })],
      [addressInfo.encode(entry).subarray(1)],
    ];
    for (const [bytes] of wrong) {
      expect(write(handle, Buffer.from(bytes))).toBe(0);
      expect(kernel.call("GetLastError")).toBe(invalidParameter);
    }
    expect(write(handle, addressInfo.encode(entry), updateAddressInfo + 4)).toBe(0);
    expect(kernel.call("GetLastError")).toBe(invalidFunction);
  });
});

describe("layers", () => {
  const idOf = async (name: string): Promise<string> => {
    const id = Buffer.alloc(16);
    expect(await vmcompute.run("NameToGuid", name, id)).toBe(0);
    return guidText(id);
  };

  it.each([
    ["the other driver", { Flavour: 0 }],
    ["an id of another name", { name: "other" }],
    ["flags", { Flags: 1 }],
    ["a parent beside the descriptors", { parent: true }],
    ["no layers", { count: 0 }],
  ] as const)("get no scratch disk with %s", async (_what, wrong) => {
    const {
      Flavour = 1,
      name = "base",
      Flags = 0,
      parent = false,
      count = 1,
    } = wrong as {
      Flavour?: number;
      name?: string;
      Flags?: number;
      parent?: boolean;
      count?: number;
    };
    const [home, path] = [wideText(""), wideText("Z:\\layers\\base")];
    const driver = driverInfo.encode({ Flavour, HomeDir: addressOf(home) });
    const layers = descriptor.encode({ LayerId: await idOf(name), Flags, Path: addressOf(path) });
    const above = parent ? home : null;
    const result = await vmcompute.run("CreateSandboxLayer", driver, "Z:\\scratch", above, layers, count);
    expect([hex(result), home.length, path.length]).toEqual([invalidArgument, 2, 30]);
  });
});

describe("credential guards", () => {
  const modify = (Settings: unknown): Promise<{ readonly hresult: number }> =>
    answerOf((buffer) =>
      core.run(
        "HcsModifyServiceSettings",
        JSON.stringify({ PropertyType: "ContainerCredentialGuard", Settings }),
        buffer,
      ),
    );
  const details = { Id: "c", CredentialSpec: "{}", Transport: "HvSocket" };

  it.each([
    ["an unknown operation", { Operation: "Add", OperationDetails: details }],
    ["no details", { Operation: "AddInstance" }],
    ["no specification", { Operation: "AddInstance", OperationDetails: { Id: "c", Transport: "HvSocket" } }],
    ["a transport of no VM", { Operation: "AddInstance", OperationDetails: { ...details, Transport: "Pipe" } }],
    ["unknown details", { Operation: "RemoveInstance", OperationDetails: details }],
  ])("are refused with %s", async (_what, settings) => {
    expect(hex((await modify(settings)).hresult)).toBe("0x8037010d");
  });
});
