/** The driver's picture of Windows, compared with the headers of Windows by a compiled program. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hresults, vsockServiceGuidTail } from "@uvm-shim/hcs-schema";
import { beforeAll, describe, expect, it } from "vitest";
import { allAccess } from "../../packages/hcs-bindings/src/windows/compute/process-handles.ts";
import {
  hypervFamily,
  hypervProtocol,
  wildcardGuid,
} from "../../packages/hcs-bindings/src/windows/io/hvsocket-address.ts";
import { hostEventTypes } from "../../packages/hcs-bindings/src/windows/native/callbacks.ts";
import { computeCoreFunctions } from "../../packages/hcs-bindings/src/windows/native/computecore-functions.ts";
import { computeNetworkFunctions } from "../../packages/hcs-bindings/src/windows/native/computenetwork-functions.ts";
import { computeStorageFunctions } from "../../packages/hcs-bindings/src/windows/native/computestorage-functions.ts";
import {
  folderFunctions,
  folderSecurityFunctions,
} from "../../packages/hcs-bindings/src/windows/native/folder-functions.ts";
import { hostStructures } from "../../packages/hcs-bindings/src/windows/native/host-structures.ts";
import { kernelFunctions, securityFunctions } from "../../packages/hcs-bindings/src/windows/native/kernel-functions.ts";
import type { NativeFunction } from "../../packages/hcs-bindings/src/windows/native/native-types.ts";
import { ole32Functions } from "../../packages/hcs-bindings/src/windows/native/ole32-functions.ts";
import {
  serviceFunctions,
  serviceKernelFunctions,
} from "../../packages/hcs-bindings/src/windows/native/service-functions.ts";
import type { Structure } from "../../packages/hcs-bindings/src/windows/native/structures.ts";
import { systemStructures } from "../../packages/hcs-bindings/src/windows/native/system-structures.ts";
import * as virtdisk from "../../packages/hcs-bindings/src/windows/native/virtdisk-constants.ts";
import { virtdiskFunctions } from "../../packages/hcs-bindings/src/windows/native/virtdisk-functions.ts";
import { vmcomputeFunctions } from "../../packages/hcs-bindings/src/windows/native/vmcompute-functions.ts";
import {
  winsockExtensions,
  winsockFunctions,
} from "../../packages/hcs-bindings/src/windows/native/winsock-functions.ts";
import { type Declaration, declarationsIn, preprocessedHeaders } from "./header-declarations.ts";
import { type HeaderFacts, headerFacts, type TypeFacts } from "./header-facts.ts";
import { REPOSITORY } from "./wine-environment.ts";

/** The structures of the driver that are not called like those of C, and what stands for unions. */
const structureTypes: Readonly<Record<string, string>> = {
  // mingw-w64's does not have a member, see virtdisk-sdk.h.
  CREATE_VIRTUAL_DISK_PARAMETERS: "struct create_virtual_disk_parameters_2",
  GET_VIRTUAL_DISK_INFO_PARENT: "GET_VIRTUAL_DISK_INFO",
};

const unionMembers: Readonly<Record<string, string>> = {
  CREATE_VIRTUAL_DISK_PARAMETERS: "Version2",
  OPEN_VIRTUAL_DISK_PARAMETERS: "Version2",
  ATTACH_VIRTUAL_DISK_PARAMETERS: "Version1",
  EXPAND_VIRTUAL_DISK_PARAMETERS: "Version1",
  GET_VIRTUAL_DISK_INFO: "Size",
  GET_VIRTUAL_DISK_INFO_PARENT: "ParentLocation",
};

/** Members of members, which the driver has under names of its own. */
const memberPaths: Readonly<Record<string, string>> = {
  ParentDeviceId: "ParentVirtualStorageType.DeviceId",
  ParentVendorId: "ParentVirtualStorageType.VendorId",
  SourceDeviceId: "SourceVirtualStorageType.DeviceId",
  ParentFilePath: "ParentLocator.ParentFilePath",
  SourceVendorId: "SourceVirtualStorageType.VendorId",
};

/** Members that fill what the compiler leaves empty. */
const padding = "unionPadding";

/** A structure whose end is open: the driver has no more of it than where its text begins. */
const openEnded = "GET_VIRTUAL_DISK_INFO_PARENT";

const structures: Readonly<Record<string, Structure<never>>> = { ...hostStructures, ...systemStructures } as never;

function pathOf(structure: string, member: string): string {
  const union = unionMembers[structure];
  const path = memberPaths[member] ?? member;
  return union === undefined || member === "Version" ? path : `${union}.${path}`;
}

const askedStructures = Object.fromEntries(
  Object.entries(structures).map(([name, { offsets }]) => [
    name,
    {
      type: structureTypes[name] ?? name,
      members: Object.fromEntries(
        Object.keys(offsets)
          .filter((member) => member !== padding)
          .map((member) => [member, pathOf(name, member)]),
      ),
    },
  ]),
);

/** Constants whose names in the driver are not those of the headers. */
const namedOtherwise: Readonly<Record<string, number>> = {
  HcsEventSystemExited: hostEventTypes.systemExited,
  HcsEventSystemCrashReport: hostEventTypes.systemCrashReport,
  HcsEventProcessExited: hostEventTypes.processExited,
  HcsEventServiceDisconnect: hostEventTypes.serviceDisconnect,
  GENERIC_ALL: allAccess,
  HV_PROTOCOL_RAW: hypervProtocol,
  VIRTUAL_STORAGE_TYPE_DEVICE_VHD: virtdisk.storageDevices.vhd,
  VIRTUAL_STORAGE_TYPE_DEVICE_VHDX: virtdisk.storageDevices.vhdx,
  CREATE_VIRTUAL_DISK_FLAG_NONE: virtdisk.createFlags.none,
  CREATE_VIRTUAL_DISK_FLAG_FULL_PHYSICAL_ALLOCATION: virtdisk.createFlags.fullPhysicalAllocation,
  ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY: virtdisk.attachFlags.readOnly,
  ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER: virtdisk.attachFlags.noDriveLetter,
  ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME: virtdisk.attachFlags.permanentLifetime,
  SET_VIRTUAL_DISK_INFO_IDENTIFIER: virtdisk.setInfoVersions.vhd,
  SET_VIRTUAL_DISK_INFO_VIRTUAL_DISK_ID: virtdisk.setInfoVersions.vhdx,
  GET_VIRTUAL_DISK_INFO_SIZE: virtdisk.infoVersions.size,
  GET_VIRTUAL_DISK_INFO_PARENT_LOCATION: virtdisk.infoVersions.parentLocation,
  CREATE_VIRTUAL_DISK_VERSION_2: 2,
  OPEN_VIRTUAL_DISK_VERSION_2: 2,
  ATTACH_VIRTUAL_DISK_VERSION_1: 1,
  EXPAND_VIRTUAL_DISK_VERSION_1: 1,
};

/** What the driver's files have under the names of the headers: constants, and members of tables of constants. */
function constantsOfSources(): Readonly<Record<string, number>> {
  const folder = join(REPOSITORY, "packages/hcs-bindings/src/windows");
  const files = readdirSync(folder, { encoding: "utf8", recursive: true }).filter(
    (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
  );
  const text = files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  const number = String.raw`(0x[\da-f_]+|\d[\d_]*)n?`;
  const constants = text.matchAll(new RegExp(String.raw`^(?:export )?const ([A-Z]\w+) = ${number};`, "gm"));
  const members = text.matchAll(new RegExp(String.raw`^\s+([A-Z][A-Z\d]+_?[A-Z\d_]+): ${number},`, "gm"));
  return Object.fromEntries(
    [...constants, ...members].map(([, name = "", value = ""]) => [name, Number(value.replaceAll("_", ""))]),
  );
}

/** Results that winerror.h of mingw-w64 has; those of the compute service it has not. */
const errorConstants = Object.fromEntries(
  Object.entries(hresults)
    .filter(([name]) => !/^HC[SN]_/.test(name))
    .map(([name, value]) => [
      name,
      { expression: name.startsWith("ERROR_") ? `HRESULT_FROM_WIN32(${name})` : name, value },
    ]),
);

const guids: Readonly<Record<string, { readonly expression: string; readonly value: string }>> = {
  wildcard: { expression: "HV_GUID_WILDCARD", value: wildcardGuid },
  vsockTemplate: { expression: "HV_GUID_VSOCK_TEMPLATE", value: `00000000${vsockServiceGuidTail}` },
  microsoftVendor: { expression: "VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT", value: virtdisk.microsoftVendor },
  AcceptEx: { expression: "WSAID_ACCEPTEX", value: winsockExtensions.AcceptEx.id },
  ConnectEx: { expression: "WSAID_CONNECTEX", value: winsockExtensions.ConnectEx.id },
};

const functions: Readonly<Record<string, NativeFunction>> = {
  ...computeCoreFunctions,
  ...computeNetworkFunctions,
  ...computeStorageFunctions,
  ...virtdiskFunctions,
  ...vmcomputeFunctions,
  ...winsockFunctions,
  ...kernelFunctions,
  ...securityFunctions,
  ...folderFunctions,
  ...folderSecurityFunctions,
  ...serviceFunctions,
  ...serviceKernelFunctions,
  ...ole32Functions,
};

/** What each type of the tables is to the ABI. Sockets and sizes are integers as wide as a pointer. */
const fits: Readonly<Record<NativeFunction["parameters"][number], (type: TypeFacts) => boolean>> = {
  pointer: ({ size, kind }) => size === 8 && kind !== "other",
  text: ({ kind }) => kind === "text",
  int32: ({ size, kind }) => size === 4 && kind === "integer",
  // Arguments that are narrower are passed in the same register.
  uint32: ({ size, kind }) => size <= 4 && kind === "integer",
  uint16: ({ size, kind }) => size === 2 && kind === "integer",
  int64: ({ size, kind }) => size === 8 && kind === "integer",
  uint64: ({ size, kind }) => size === 8 && kind === "integer",
};

describe("the driver and the Windows headers", () => {
  let facts: HeaderFacts;
  let declarations: ReadonlyMap<string, Declaration>;
  const named = constantsOfSources();

  beforeAll(async () => {
    const texts = await preprocessedHeaders();
    declarations = new Map([...texts.values()].flatMap(declarationsIn).map((found) => [found.name, found]));
    const used = Object.keys(functions).flatMap((name) => {
      const { result = "void", parameters = [] } = declarations.get(name) ?? {};
      return [result, ...parameters].filter((type) => type !== "void");
    });
    const byName = Object.fromEntries(
      [...Object.keys(named), ...Object.keys(namedOtherwise)].map((name) => [name, name]),
    );
    const errors = Object.entries(errorConstants).map(([name, { expression }]) => [`hresult ${name}`, expression]);
    facts = await headerFacts({
      structures: askedStructures,
      constants: { ...byName, ...Object.fromEntries(errors) },
      guids: Object.fromEntries(Object.entries(guids).map(([name, { expression }]) => [name, expression])),
      types: [...new Set(used)],
    });
  }, 120_000);

  it.each(Object.keys(structures))("have %s alike", (name) => {
    const { size, offsets } = structures[name] ?? { size: 0, offsets: {} };
    const { [padding]: _filling, ...members } = offsets as Record<string, number>;
    expect(members).toEqual(facts.structures[name]?.offsets);
    if (name !== openEnded) expect(size).toBe(facts.structures[name]?.size);
  });

  it("have the same constants", () => {
    const driver = { ...named, ...namedOtherwise };
    expect(Object.keys(named).length).toBeGreaterThan(20);
    const header = Object.fromEntries(Object.keys(driver).map((name) => [name, Number(facts.constants[name])]));
    expect(driver).toEqual(header);
  });

  it("have the same results", () => {
    for (const [name, { value }] of Object.entries(errorConstants)) {
      expect([name, String(value >>> 0)]).toEqual([name, facts.constants[`hresult ${name}`]]);
    }
  });

  it("have the same GUIDs", () => {
    expect(Object.fromEntries(Object.entries(guids).map(([name, { value }]) => [name, value]))).toEqual(facts.guids);
  });

  it.each([
    ["AF_HYPERV", hypervFamily, 34, "ws2def.h"],
    ["ERROR_VHD_INVALID_TYPE", virtdisk.errorVhdInvalidType, 0xc03a001b, "winerror.h"],
  ])("have %s as the SDK's header, which mingw-w64's copy does not have", (_name, driver, header) => {
    expect(driver).toBe(header);
  });

  it.each(Object.keys(functions))("declare %s alike", (name) => {
    const { result, parameters } = functions[name] ?? { result: "void", parameters: [] };
    const declared = declarations.get(name);
    expect(parameters).toHaveLength(declared?.parameters.length ?? -1);
    const pairs = [[result, declared?.result], ...parameters.map((type, index) => [type, declared?.parameters[index]])];
    const wrong = pairs.filter(([type = "", header = ""]) => {
      if (type === "void") return header !== "void";
      const found = facts.types[header];
      return found === undefined || !fits[type as keyof typeof fits](found);
    });
    expect(wrong).toEqual([]);
  });
});
