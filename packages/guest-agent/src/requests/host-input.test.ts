import { FieldError, Fields, GuestFault } from "@uvm-shim/gcs-bridge";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readContainerSettings, readProcessParameters, readPropertyTypes } from "../container/parameters.ts";
import { absolutePath, readGuestRequest } from "./guest-requests.ts";

/** Only these two errors are answered as the host's fault. */
function blamesTheHost(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch (error) {
    return error instanceof FieldError || error instanceof GuestFault;
  }
}

const types = [
  ...["MappedVirtualDisk", "SCSIDevice", "MappedDirectory", "CombinedLayers"],
  ...["PodCgroupMemoryLimit", "ContainerConstraints", "SecurityPolicyFragment", "SecurityPolicy"],
];
const fieldNames = [
  ...["MountPath", "Controller", "Lun", "Partition", "ReadOnly", "Options", "Filesystem", "ShareName", "Layers"],
  ...["ScratchPath", "ContainerRootPath", "OciSpecification", "OciBundlePath", "SchemaVersion", "ociVersion", "root"],
  ...["path", "process", "args", "cwd", "capabilities", "rlimits", "linux", "namespaces", "sysctl", "OCIProcess"],
  ...[
    "Linux",
    "memory",
    "cpu",
    "limit",
    "Fragment",
    "MediaType",
    "EnforcerType",
    "EncodedSecurityPolicy",
    "PropertyTypes",
  ],
  ...["ConsoleSize", "CommandArgs", "Environment", "EmulateConsole"],
];
const value = fc.letrec((tie) => ({
  any: fc.oneof({ maxDepth: 5 }, fc.constantFrom("/run/x", "a", null, 0, -1, 1.5, true), tie("list"), tie("object")),
  list: fc.array(tie("any"), { maxLength: 3 }),
  object: fc.dictionary(fc.constantFrom(...fieldNames), tie("any"), { maxKeys: 8 }),
}));

function respelled(value: unknown, spell: (name: string) => string): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => respelled(item, spell));
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [spell(name), respelled(member, spell)]));
}

describe("input from the host", () => {
  it("is read or refused, whatever it contains", () => {
    fc.assert(
      fc.property(fc.constantFrom(...types, "Other"), value.any, (ResourceType, Settings) => {
        const text = JSON.stringify(Settings) ?? "";
        expect(blamesTheHost(() => readGuestRequest({ ResourceType, RequestType: "Add", Settings }))).toBe(true);
        expect(blamesTheHost(() => readContainerSettings(text))).toBe(true);
        expect(blamesTheHost(() => readProcessParameters(text))).toBe(true);
        expect(blamesTheHost(() => readPropertyTypes(text))).toBe(true);
      }),
    );
  });

  it("is refused with the path of the invalid field", () => {
    const settings = { OciBundlePath: "/run/x", OciSpecification: { ociVersion: "1.0.2", root: { path: "rootfs" } } };
    expect(() => readContainerSettings(JSON.stringify(settings))).toThrow("ContainerConfig.OciSpecification.root.path");
    expect(() => readProcessParameters('{"OCIProcess":{"args":["x",7],"cwd":"/"}}')).toThrow(
      "args[1] must be a string",
    );
    const disk = { ResourceType: "MappedVirtualDisk", RequestType: "Add" } as const;
    const base = { MountPath: "/run/x" };
    const refused = (Settings: object) => () => readGuestRequest({ ...disk, Settings });
    expect(refused({ ...base, Lun: 64 })).toThrow("Request.Settings.Lun must be an integer from 0 to 63");
    expect(refused({ ...base, Filesystem: "../ext4" })).toThrow("Request.Settings.Filesystem");
    expect(refused({ ...base, Encrypted: true })).toThrow("Request.Settings.Encrypted");
    expect(refused({ ...base, VerityInfo: { RootDigest: "00" } })).toThrow("Request.Settings.VerityInfo");
    expect(refused({ ...base, Options: [1] })).toThrow("Request.Settings.Options[0] must be a string");
    const share = {
      ResourceType: "MappedDirectory",
      RequestType: "Add",
      Settings: { ...base, ShareName: "a/b" },
    } as const;
    expect(() => readGuestRequest(share)).toThrow("Request.Settings.ShareName");
  });

  it("may omit zeros and empty lists, as the host's encoder does", () => {
    const disk = { ResourceType: "MappedVirtualDisk", RequestType: "Add", Settings: { MountPath: "/run/x" } } as const;
    expect(readGuestRequest(disk).Settings).toEqual({
      MountPath: "/run/x",
      Controller: 0,
      Lun: 0,
      Partition: 0,
      ReadOnly: false,
      Options: [],
      BlockDev: false,
      EnsureFilesystem: false,
    });
    expect(readProcessParameters("{}")).toMatchObject({ EmulateConsole: false, CommandArgs: [], Environment: {} });
    expect(readProcessParameters('{"ConsoleSize":[24,80]}').ConsoleSize).toEqual([24, 80]);
    expect(readProcessParameters('{"ConsoleSize":[0,0]}')).not.toHaveProperty("ConsoleSize");
  });

  it.each([
    ["as the host of this project spells them", (name: string) => name],
    ["as microsoft/hcsshim does", (name: string) => (name === "OCIProcess" ? "OciProcess" : name)],
    ["in lower case", (name: string) => name.toLowerCase()],
    ["in upper case", (name: string) => name.toUpperCase()],
  ])("may have field names %s", (_how, spell) => {
    const process = {
      args: ["x"],
      cwd: "/",
      capabilities: { bounding: ["CAP_KILL"] },
      user: { uid: 0, gid: 1, additionalGids: [2] },
      rlimits: [{ type: "RLIMIT_CORE", hard: 1, soft: 0 }],
    };
    const OciSpecification = {
      ociVersion: "1.0.2",
      root: { path: "/run/x", readonly: true },
      process,
      linux: { namespaces: [{ type: "pid" }], resources: { cpu: { shares: 5 } }, rootfsPropagation: "private" },
    };
    const settings = { SchemaVersion: { Major: 2, Minor: 1 }, OciBundlePath: "/run/x", ScratchDirPath: "" };
    const given = respelled({ ...settings, OciSpecification }, spell);
    expect(readContainerSettings(JSON.stringify(given))).toEqual({ ...settings, OciSpecification });

    const parameters = { OCIProcess: process, CreateStdInPipe: true, ConsoleSize: [24, 80], WorkingDirectory: "/a" };
    expect(readProcessParameters(JSON.stringify(respelled(parameters, spell)))).toMatchObject(parameters);
    const query = respelled({ PropertyTypes: ["ProcessList"] }, spell);
    expect(readPropertyTypes(JSON.stringify(query))).toEqual(["ProcessList"]);
    const request = { ResourceType: "ContainerConstraints", RequestType: "Update" } as const;
    const Settings = { Linux: { memory: { limit: 1, swappiness: 2 }, blockIO: { weight: 3 } } };
    expect(readGuestRequest({ ...request, Settings: respelled(Settings, spell) }).Settings).toEqual(Settings);
  });

  it("keeps the case of keys that are data", () => {
    const Environment = { Path: "a", PATH: "b" };
    expect(readProcessParameters(JSON.stringify({ Environment })).Environment).toEqual(Environment);
    const annotations = { "io.A": "a", "io.a": "b" };
    const settings = {
      OciBundlePath: "/run/x",
      OciSpecification: { ociVersion: "1.0.2", root: { path: "/r" }, process: { args: ["x"], cwd: "/" }, annotations },
    };
    expect(readContainerSettings(JSON.stringify(settings)).OciSpecification.annotations).toEqual(annotations);
  });

  it("has paths in one form only", () => {
    const read = (path: string) => () => absolutePath(new Fields({ path }), "path");
    expect(read("/run/a.b/..c")()).toBe("/run/a.b/..c");
    for (const path of ["", "run", "/", "/run//a", "/run/./a", "/run/../a", "/run/", "/run/\0"]) {
      expect(read(path), path).toThrow("path must be an absolute path");
    }
  });
});
