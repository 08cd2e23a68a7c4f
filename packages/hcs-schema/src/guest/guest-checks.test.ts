import { describe, expect, it } from "vitest";
import {
  checkLinuxGuestRequest,
  checkLinuxHostedContainerSettings,
  checkLinuxProcessParameters,
  checkOciSpec,
} from "../index.ts";

describe("checkLinuxGuestRequest", () => {
  it.each([
    ["MappedVirtualDisk", { MountPath: "/m", Controller: 0, Lun: 1, Partition: 0, ReadOnly: true, Options: ["ro"] }],
    ["SCSIDevice", { Controller: 3, Lun: 63 }],
    ["MappedDirectory", { MountPath: "/m", Port: 564, ShareName: "1", ReadOnly: false }],
    ["CombinedLayers", { ContainerID: "c", ContainerRootPath: "/r", Layers: [{ Path: "/l" }], ScratchPath: "" }],
    ["VPCIDevice", { VMBusGUID: "6F9619FF-8B86-D011-B42D-00C04FC964FF" }],
  ])("accepts %s", (ResourceType, Settings) => {
    const request = { ResourceType, RequestType: "Add", Settings };
    expect(checkLinuxGuestRequest(request)).toEqual(request);
  });

  it.each([
    [{ ResourceType: "Toaster", RequestType: "Add", Settings: {} }, /^ResourceType: expected "MappedVirtualDisk"/],
    [
      { ResourceType: "SCSIDevice", RequestType: "Add", Settings: { Controller: 4, Lun: 0 } },
      "Settings.Controller: expected an integer from 0 to 3, got 4",
    ],
    [
      { ResourceType: "SCSIDevice", RequestType: "Add", Settings: { Controller: 0, Lun: 0, Extra: 1 } },
      "Settings.Extra: unknown field, expected one of Controller, Lun",
    ],
    [
      { ResourceType: "VPCIDevice", RequestType: "Add", Settings: { VMBusGUID: "{6f96}" } },
      'Settings.VMBusGUID: expected a GUID, got "{6f96}"',
    ],
    [{ ResourceType: "SCSIDevice", RequestType: "Add" }, "Settings: expected an object, got nothing"],
    [7, "expected an object, got 7"],
  ])("refuses %j", (request, message) => {
    expect(() => checkLinuxGuestRequest(request)).toThrow(message);
  });
});

describe("container and process settings", () => {
  const specification = {
    ociVersion: "1.2.0",
    process: {
      cwd: "/",
      args: ["true"],
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 2 ** 64, soft: 1024 }],
      ioPriority: {},
    },
    linux: { intelRdt: { closID: "x" }, namespaces: [{ type: "pid" }] },
    mounts: [{ destination: "/proc", type: "proc", source: "proc", options: null }],
  };

  it("keep unknown fields of the OCI specification", () => {
    const checked = checkOciSpec(specification);
    expect(checked).toHaveProperty("linux.intelRdt.closID", "x");
    expect(checked).toHaveProperty("process.ioPriority");
    expect(checked.mounts?.[0]).not.toHaveProperty("options");
  });

  it.each([
    [{ rlimits: [{ type: "NOFILE", hard: 1, soft: 1 }] }, {}, 'process.rlimits[0].type: expected "RLIMIT_AS" or'],
    [{ rlimits: [{ type: "RLIMIT_CPU", hard: 1, soft: 2 }] }, {}, "a soft limit of at most the hard limit"],
    [{ env: ["A=b\0"] }, {}, "process.env[0]: expected text without NUL"],
    [{}, { namespaces: [{ type: "net" }] }, 'linux.namespaces[0].type: expected "pid" or "network" or'],
    [{}, { rootfsPropagation: "none" }, 'linux.rootfsPropagation: expected "" or "private" or'],
    [{}, { devices: [{ path: "" }] }, "linux.devices[0].path: expected a non-empty string"],
    [{}, { seccomp: {} }, 'linux.seccomp.defaultAction: expected "SCMP_ACT_ALLOW" or'],
    [
      {},
      { seccomp: { defaultAction: "SCMP_ACT_LOG", syscalls: [{ names: [] }] } },
      "seccomp.syscalls[0].action: expected",
    ],
    [{}, { resources: { pids: { limit: "1" } } }, "linux.resources.pids.limit: expected an integer, got string"],
  ])("are refused with values that Linux would refuse: %j %j", (process, linux, message) => {
    const wrong = { ...specification, process: { ...specification.process, ...process }, linux };
    expect(() => checkOciSpec(wrong)).toThrow(message);
  });

  it("are checked, with the path of an invalid field", () => {
    const settings = {
      SchemaVersion: { Major: 2, Minor: 1 },
      OciBundlePath: "/b",
      OciSpecification: { ...specification, mounts: [{ destination: "" }] },
      ScratchDirPath: "",
    };
    expect(() => checkLinuxHostedContainerSettings(settings)).toThrow(
      'OciSpecification.mounts[0].destination: expected a non-empty string, got ""',
    );
  });

  it("are accepted for processes of containers and of the VM", () => {
    const pipes = { EmulateConsole: true, CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: false };
    expect(checkLinuxProcessParameters({ ...pipes, ConsoleSize: [24, 80] }).ConsoleSize).toEqual([24, 80]);
    expect(checkLinuxProcessParameters({ ...pipes, CommandArgs: ["ls"], Environment: { A: "b" } })).toHaveProperty(
      "Environment.A",
      "b",
    );
    expect(() => checkLinuxProcessParameters({ ...pipes, ConsoleSize: [24] })).toThrow(/^ConsoleSize: expected/);
  });
});
