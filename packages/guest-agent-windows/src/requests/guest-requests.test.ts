import { GuestFault } from "@uvm-shim/gcs-bridge";
import { checkHostedSystem } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { type GuestChange, readGuestChange } from "./guest-requests.ts";
import { GuestResources } from "./guest-resources.ts";
import { readProcess } from "./process-parameters.ts";

const nic = "11111111-2222-3333-4444-555555555555";
const namespace = { ID: "66666666-7777-8888-9999-aaaaaaaaaaaa" };
const endpoint = { ID: nic, HostComputeNetwork: nic, SchemaVersion: { Major: 2, Minor: 0 } };
const root = "C:\\mounts\\scsi\\m0";
const layers = [{ Id: nic, Path: "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\s1" }];

describe("settings of requests to a Windows guest", () => {
  it.each([
    ["MappedVirtualDisk", "Add", { ContainerPath: root, Lun: 1, Controller: 0 }, "Controller"],
    ["MappedVirtualDisk", "Remove", { ContainerPath: root, Lun: 1, ReadOnly: true }, "ReadOnly"],
    ["MappedDirectory", "Add", { HostPath: "a", ContainerPath: "b", ShareName: "s" }, "ShareName"],
    ["CombinedLayers", "Add", { ContainerRootPath: root, Layers: layers, FilterType: "UnionFS" }, "FilterType"],
    ["CombinedLayers", "Add", { ContainerRootPath: root, Layers: [{ ...layers[0], PathType: "a" }] }, "PathType"],
    ["CombinedLayers", "Remove", { ContainerRootPath: root, Layers: layers }, "Layers"],
    ["NetworkNamespace", "Add", { ...namespace, Extra: 1 }, "Extra"],
    ["Network", "Add", { AdapterId: nic, RequestType: "Add", Extra: 1 }, "Extra"],
    ["HvSocket", "Update", { LocalAddress: nic, ParentAddress: nic, Extra: 1 }, "Extra"],
  ])("%s %s refuses fields that Windows does not know", (type, verb, settings, field) => {
    const read = (): unknown => readGuestChange(type, verb, settings);
    expect(read).toThrow(expect.objectContaining({ name: "SchemaError", path: expect.stringContaining(field) }));
  });

  it("takes an absent LUN for the first", () => {
    const { settings } = readGuestChange("MappedVirtualDisk", "Add", { ContainerPath: root });
    expect(settings).toEqual({ ContainerPath: root, Lun: 0 });
  });

  it.each(["SCSIDevice", "VPCIDevice", "PodCgroupMemoryLimit", "ContainerConstraints"])("has no %s", (type) => {
    expect(resultOf(() => readGuestChange(type, "Add", {}))).toBe("ERROR_NOT_SUPPORTED");
  });

  it("takes an endpoint with the announcement of an adapter, and only there", () => {
    const change = (step: string, more: object): (() => unknown) => {
      return () => readGuestChange("Network", "Add", { AdapterId: nic, RequestType: step, ...more });
    };
    expect(change("PreAdd", {})).toThrow("Request.Settings.Settings: expected the endpoint");
    expect(change("Add", { Settings: endpoint })).toThrow("Request.Settings.Settings: expected nothing for Add");
  });

  it("refuses fields of a container that Windows does not know", () => {
    expect(() => checkHostedSystem({ Container: { Storage: { Layers: [], ScratchDirPath: "a" } } })).toThrow(
      "Container.Storage.ScratchDirPath",
    );
  });
});

describe("the order of requests to a Windows guest", () => {
  const done = (resources: GuestResources, type: string, verb: string, settings: unknown): GuestChange => {
    const change = readGuestChange(type, verb, settings);
    resources.check(change);
    resources.record(change);
    return change;
  };
  const disk = { ContainerPath: root, Lun: 3 };
  const combined = { ContainerRootPath: root, Layers: layers };

  it("combines layers where a disk is mounted, in any case of the path", () => {
    const resources = new GuestResources();
    const combine = (): unknown => done(resources, "CombinedLayers", "Add", combined);
    expect(resultOf(combine)).toBe("ERROR_PATH_NOT_FOUND");
    expect(resultOf(() => resources.combinedDisk(root))).toBe("ERROR_PATH_NOT_FOUND");
    done(resources, "MappedVirtualDisk", "Add", { ...disk, ContainerPath: root.toUpperCase() });
    combine();
    expect(resultOf(combine)).toBe("ERROR_ALREADY_EXISTS");
    expect(resources.combinedDisk(`${root}\\`)).toBe(disk.Lun);
  });

  it("keeps a disk that layers are combined on", () => {
    const resources = new GuestResources();
    const unmount = (): unknown => done(resources, "MappedVirtualDisk", "Remove", disk);
    expect(resultOf(unmount)).toBe("ERROR_NOT_FOUND");
    done(resources, "MappedVirtualDisk", "Add", disk);
    expect(resultOf(() => done(resources, "MappedVirtualDisk", "Add", disk))).toBe("ERROR_ALREADY_EXISTS");
    done(resources, "CombinedLayers", "Add", combined);
    expect(resultOf(unmount)).toBe("ERROR_SHARING_VIOLATION");
    done(resources, "CombinedLayers", "Remove", { ContainerRootPath: root });
    unmount();
    expect(resultOf(unmount)).toBe("ERROR_NOT_FOUND");
  });

  it("adds an adapter that was announced, once", () => {
    const resources = new GuestResources();
    const step = (verb: string, RequestType: string, more: object = {}): unknown =>
      done(resources, "Network", verb, { AdapterId: nic, RequestType, ...more });
    expect(resultOf(() => step("Add", "Add"))).toBe("ERROR_NOT_FOUND");
    step("Add", "PreAdd", { Settings: endpoint });
    expect(resultOf(() => step("Add", "PreAdd", { Settings: endpoint }))).toBe("ERROR_ALREADY_EXISTS");
    step("Add", "Add");
    expect(resultOf(() => step("Add", "Add"))).toBe("ERROR_NOT_FOUND");
    step("Remove", "Remove");
    expect(resultOf(() => step("Remove", "Remove"))).toBe("ERROR_NOT_FOUND");
  });

  it("has a namespace from its addition to its removal", () => {
    const resources = new GuestResources();
    expect(resultOf(() => resources.requireNamespace(namespace.ID))).toBe("ERROR_NOT_FOUND");
    done(resources, "NetworkNamespace", "Add", namespace);
    resources.requireNamespace(namespace.ID.toUpperCase());
    expect(resultOf(() => done(resources, "NetworkNamespace", "Add", namespace))).toBe("ERROR_ALREADY_EXISTS");
    done(resources, "NetworkNamespace", "Remove", namespace);
    expect(resultOf(() => done(resources, "NetworkNamespace", "Remove", namespace))).toBe("ERROR_NOT_FOUND");
  });
});

describe("the parameters of a process", () => {
  const read = (parameters: object): unknown => readProcess(JSON.stringify(parameters));

  it("are what the starter does", () => {
    const parameters = {
      CommandLine: 'cmd  /c "echo a"',
      User: "NT AUTHORITY\\system",
      WorkingDirectory: "C:\\",
      Environment: { A: "1" },
      EmulateConsole: true,
      CreateStdInPipe: true,
      CreateStdOutPipe: true,
      ConsoleSize: [25, 80],
    };
    expect(read(parameters)).toEqual({
      commandLine: 'cmd  /c "echo a"',
      userName: "SYSTEM",
      workingDirectory: "C:\\",
      environment: { A: "1" },
      hasInput: true,
      hasOutput: true,
      hasError: false,
      console: { width: 80, height: 25 },
    });
  });

  it.each([
    ["no command line", {}, "E_INVALIDARG"],
    ["a console with half a size", { CommandLine: "a", EmulateConsole: true, ConsoleSize: [25] }, "E_INVALIDARG"],
    [
      "an error output of a console",
      { CommandLine: "a", EmulateConsole: true, CreateStdErrPipe: true },
      "E_INVALIDARG",
    ],
    ["an unknown account", { CommandLine: "a", User: "nobody" }, "E_ACCESSDENIED"],
    ["an account of another domain", { CommandLine: "a", User: "else\\SYSTEM" }, "E_ACCESSDENIED"],
  ])("are refused with %s", (_, parameters, result) => {
    expect(resultOf(() => read(parameters))).toBe(result);
  });

  it("are refused with fields that Windows does not know", () => {
    expect(() => read({ CommandLine: "a", OCIProcess: {} })).toThrow("ProcessParameters.OCIProcess");
    expect(() => readProcess("{")).toThrow("ProcessParameters: expected JSON");
  });
});

function resultOf(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    if (error instanceof GuestFault) return error.hresultName;
    throw error;
  }
  return undefined;
}
