import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ComputeSystemDocument,
  checkComputeSystemDocument,
  checkModifySettingRequest,
  checkPlan9Share,
  checkPlan9ShareRemoval,
  checkScsiAttachment,
  checkVirtualPciDevice,
  checkVirtualSmbShare,
  checkVirtualSmbShareRemoval,
  resourcePaths,
  SchemaError,
  scsiControllerGuids,
  vsockServiceGuid,
} from "../index.ts";

const document = {
  Owner: "test",
  SchemaVersion: { Major: 2, Minor: 1 },
  ShouldTerminateOnLastHandleClosed: true,
  VirtualMachine: {
    StopOnReset: true,
    Chipset: { UseUtc: true, LinuxKernelDirect: { KernelFilePath: "/boot/kernel", InitRdPath: "/boot/initrd" } },
    ComputeTopology: { Memory: { SizeInMB: 1024, AllowOvercommit: true }, Processor: { Count: 2 } },
    Devices: {
      Scsi: {
        [scsiControllerGuids[0]]: { Attachments: { "0": { Type: "VirtualDisk", Path: "/disk", ReadOnly: true } } },
        "1": {},
      },
      HvSocket: {
        HvSocketConfig: {
          DefaultBindSecurityDescriptor: "D:P(A;;FA;;;WD)",
          ServiceTable: { [vsockServiceGuid(0x40000000)]: { AllowWildcardBinds: true } },
        },
      },
      Plan9: { Shares: [{ Name: "a", AccessName: "a", Path: "/a", Port: 564, Flags: 5, AllowedFiles: ["b"] }] },
      VirtualSmb: {
        Shares: [{ Name: "os", Path: "C:\\os", Options: { ReadOnly: true, TakeBackupPrivilege: true } }],
        DirectFileMappingInMB: 1024,
      },
      VirtualPci: {
        "6f9619ff-8b86-d011-b42d-00c04fc964ff": {
          Functions: [{ DeviceInstancePath: "PCIP\\VEN_1&DEV_2", VirtualFunction: 3 }],
          PropagateNumaAffinity: true,
        },
      },
      ComPorts: { "0": { NamedPipe: "\\\\.\\pipe\\console" } },
    },
    StorageQoS: { IopsMaximum: 10 },
  },
} as const satisfies ComputeSystemDocument;

/** A deep copy of the document with one value replaced. */
function documentWith(path: readonly string[], value: unknown): unknown {
  const copy: unknown = structuredClone(document);
  let target = copy as Record<string, unknown>;
  for (const name of path.slice(0, -1)) target = target[name] as Record<string, unknown>;
  target[path.at(-1) ?? ""] = value;
  return copy;
}

describe("checkComputeSystemDocument", () => {
  it("accepts a full document and returns it unchanged", () => {
    expect(checkComputeSystemDocument(document)).toEqual(document);
  });

  it("accepts what the document of a Windows guest has beside that", () => {
    const windows = structuredClone(document) as unknown as { VirtualMachine: Record<string, Record<string, unknown>> };
    Object.assign(windows.VirtualMachine, {
      Version: { Major: 12 },
      RegistryChanges: {
        AddValues: [{ Key: { Hive: "System", Name: "A\\B" }, Name: "C", Type: "DWord", DWordValue: 1 }],
      },
      DebugOptions: { BugcheckSavedStateFileName: "C:\\dumps\\a.vmrs" },
    });
    Object.assign(windows.VirtualMachine.Chipset ?? {}, { FirmwareFile: { Parameters: "AQ==" } });
    Object.assign(windows.VirtualMachine.ComputeTopology?.Memory ?? {}, { EnableHotHint: true });
    Object.assign(windows.VirtualMachine.Devices ?? {}, {
      GuestCrashReporting: { WindowsCrashSettings: { DumpFileName: "C:\\dumps\\a", DumpType: "Full" } },
      Keyboard: {},
      EnhancedModeVideo: {},
      VideoMonitor: {},
    });
    expect(checkComputeSystemDocument(windows)).toEqual(windows);
  });

  it("reads null as absent", () => {
    const checked = checkComputeSystemDocument(documentWith(["VirtualMachine", "Devices"], null));
    expect(checked.VirtualMachine).not.toHaveProperty("Devices");
  });

  const memory = ["VirtualMachine", "ComputeTopology", "Memory", "SizeInMB"];
  const scsi = ["VirtualMachine", "Devices", "Scsi"];
  it.each([
    [memory, "x", 'VirtualMachine.ComputeTopology.Memory.SizeInMB: expected a positive integer, got "x"'],
    [memory, 0, "VirtualMachine.ComputeTopology.Memory.SizeInMB: expected a positive integer, got 0"],
    [memory, undefined, "VirtualMachine.ComputeTopology.Memory.SizeInMB: expected a positive integer, got nothing"],
    [["Owner"], 1, "Owner: expected a string, got 1"],
    [["VirtualMachine"], [], "VirtualMachine: expected an object, got a list"],
    [
      ["Colour"],
      "red",
      "Colour: unknown field, expected one of Owner, SchemaVersion, ShouldTerminateOnLastHandleClosed, VirtualMachine",
    ],
    [
      [...scsi, "not a guid"],
      {},
      'VirtualMachine.Devices.Scsi."not a guid" (name): expected a GUID or a controller number from 0 to 3, got "not a guid"',
    ],
    [
      [...scsi, "1", "Attachments"],
      { "64": { Type: "VirtualDisk", Path: "/disk" } },
      'VirtualMachine.Devices.Scsi.1.Attachments.64 (name): expected a LUN from 0 to 63, got "64"',
    ],
    [
      [...scsi, "1", "Attachments"],
      { "2": { Type: "Floppy", Path: "/disk" } },
      'VirtualMachine.Devices.Scsi.1.Attachments.2.Type: expected "VirtualDisk" or "PassThru" or "ExtensibleVirtualDisk", got "Floppy"',
    ],
    [
      ["VirtualMachine", "Devices", "Plan9", "Shares"],
      [{ Name: "..", AccessName: "a", Path: "/a", Port: 564, Flags: 0 }],
      'VirtualMachine.Devices.Plan9.Shares[0].Name: expected a name of at most 255 bytes without slashes, other than . and .., got ".."',
    ],
    [
      ["VirtualMachine", "Devices", "VirtualPci"],
      { "{6f96}": { Functions: [{ DeviceInstancePath: "PCIP" }] } },
      'VirtualMachine.Devices.VirtualPci."{6f96}" (name): expected a GUID, got "{6f96}"',
    ],
  ])("names %s in its error", (path, value, message) => {
    expect(() => checkComputeSystemDocument(documentWith(path, value))).toThrow(message);
  });

  it("throws only SchemaErrors, whatever the document", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          checkComputeSystemDocument(value);
        } catch (error) {
          expect(error).toBeInstanceOf(SchemaError);
        }
      }),
    );
  });

  it("does not confuse inherited names with fields", () => {
    expect(() => checkComputeSystemDocument(JSON.parse('{"__proto__": {"Owner": "x"}}'))).toThrow(SchemaError);
    expect(() => checkComputeSystemDocument(JSON.parse('{"constructor": 1}'))).toThrow(/unknown field/);
  });
});

describe("a VSMB share", () => {
  const share = { Name: "s1", Path: "C:\\data", AllowedFiles: ["C:\\data\\hosts"], Options: { ReadOnly: true } };

  it("is accepted with its options, and without any", () => {
    expect(checkVirtualSmbShare(share)).toEqual(share);
    expect(checkVirtualSmbShare({ Name: "s1", Path: "C:\\data" })).toEqual({
      Name: "s1",
      Path: "C:\\data",
      Options: {},
    });
    expect(checkVirtualSmbShareRemoval({ Name: "s1" })).toEqual({ Name: "s1" });
  });

  it.each([
    [{ ...share, Flags: 1 }, "Flags: unknown field"],
    [{ ...share, Options: { Readonly: true } }, "Options.Readonly"],
    [{ ...share, Options: { ReadOnly: 1 } }, "Options.ReadOnly: expected true or false, got 1"],
    [{ ...share, Name: "" }, "Name: expected a non-empty string"],
    [{ ...share, Name: "a\\b" }, "Name: expected a name without slashes, other than IPC$"],
    [{ ...share, Name: "ipc$" }, "Name: expected a name without slashes, other than IPC$"],
    [{ ...share, Name: ".." }, "Name: expected a name without slashes, other than IPC$, . and .."],
    [{ ...share, Path: undefined }, "Path: expected a string, got nothing"],
    [{ ...share, AllowedFiles: [""] }, "AllowedFiles[0]: expected a non-empty string"],
  ])("is refused as %j", (wrong, message) => {
    expect(() => checkVirtualSmbShare(wrong)).toThrow(message);
  });

  it("is removed by name alone", () => {
    expect(() => checkVirtualSmbShareRemoval({ Path: "C:\\data" })).toThrow("Name: expected a string, got nothing");
    expect(() => checkVirtualSmbShareRemoval({ Name: "s1", Force: true })).toThrow("Force: unknown field");
  });
});

describe("settings of modify requests", () => {
  it("are accepted if they fit the resource path", () => {
    const attachment = { Type: "VirtualDisk", Path: "/disk" };
    expect(checkScsiAttachment(attachment)).toEqual(attachment);
    const request = { ResourcePath: "VirtualMachine/Devices/Plan9/Shares", RequestType: "Add", Settings: attachment };
    expect(checkModifySettingRequest(request)).toEqual(request);
    expect(checkPlan9ShareRemoval({ Name: "a", AccessName: "a", Port: 564 })).toHaveProperty("Name", "a");
  });

  it("refuse unknown share flags", () => {
    const share = { Name: "a", AccessName: "a", Path: "/a", Port: 564, Flags: 2 };
    expect(() => checkPlan9Share(share)).toThrow("Flags: expected a combination of the flags 0xfd, got 2");
  });

  it.each([
    [{ Functions: [] }, "Functions: expected at least one function, got a list"],
    [{ Functions: [{ DeviceInstancePath: "" }] }, /^Functions\[0\]\.DeviceInstancePath: expected a non-empty string/],
    [
      { Functions: [{ DeviceInstancePath: "a", VirtualFunction: 65536 }] },
      "Functions[0].VirtualFunction: expected an integer from 0 to 65535, got 65536",
    ],
    [{ Functions: [{ DeviceInstancePath: "a" }], PropagateNumaAffinity: 1 }, /^PropagateNumaAffinity: expected true/],
  ])("refuse the virtual PCI device %j", (device, message) => {
    expect(() => checkVirtualPciDevice(device)).toThrow(message);
  });

  it("identify a virtual PCI device by its VMBus GUID", () => {
    expect(resourcePaths.virtualPci("6f96")).toBe("VirtualMachine/Devices/VirtualPci/6f96");
  });

  it("refuse unknown request types", () => {
    expect(() => checkModifySettingRequest({ ResourcePath: "x", RequestType: "Replace" })).toThrow(/RequestType/);
  });
});
