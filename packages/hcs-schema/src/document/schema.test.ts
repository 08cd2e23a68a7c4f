import { describe, expect, expectTypeOf, it } from "vitest";
import { endpointTypes } from "../hcn/endpoint.ts";
import { guestNetworkTypes } from "../hcn/guest-network.ts";
import { networkTypes } from "../hcn/network.ts";
import {
  type ComputeSystemDocument,
  type HcnEndpoint,
  type HcnNamespace,
  type HcnNetwork,
  hcnReleases,
  hcsReleases,
  SchemaError,
  type SchemaReleases,
  type SchemaTypes,
  type SystemExitStatus,
  schemaCheck,
  virtualMachineCheck,
} from "../index.ts";
import { containerTypes } from "./container.ts";
import { deviceTypes } from "./devices.ts";
import { layerTypes } from "./layers.ts";
import { machineTypes } from "./machine.ts";
import { migrationTypes } from "./migration.ts";
import { namespaceTypes } from "./namespaces.ts";
import { processTypes } from "./process.ts";
import { propertyTypes } from "./properties.ts";
import { requestTypes } from "./requests.ts";
import { resultTypes } from "./results.ts";
import { serviceTypes } from "./service.ts";
import { type HcnType, type HcsType, hcnTypes, hcsTypes } from "./tables.ts";

const scalars =
  "Any bool string string_binary ByteArray NullableByteArray DateTime Guid MacAddress double uint8 uint16 uint32 uint64 int32 int64";

const schemas: readonly (readonly [string, SchemaTypes, SchemaReleases, readonly SchemaTypes[]])[] = [
  [
    "HCS",
    hcsTypes,
    hcsReleases,
    [
      machineTypes,
      deviceTypes,
      migrationTypes,
      containerTypes,
      namespaceTypes,
      processTypes,
      propertyTypes,
      resultTypes,
      serviceTypes,
      layerTypes,
      requestTypes,
    ],
  ],
  ["HCN", hcnTypes, hcnReleases, [guestNetworkTypes, endpointTypes, networkTypes]],
];

describe.each(schemas)("the table of %s", (_, types, { releases }, areas) => {
  const fields = Object.entries(types).flatMap(([type, definition]) =>
    Array.isArray(definition)
      ? definition.map((text: string): [string, string] => [`${type} ${text}`, text])
      : Object.entries(definition).map(([field, text]): [string, string] => [`${type}.${field}`, text as string]),
  );

  it("has each type in one area", () => {
    const names = areas.flatMap((area) => Object.keys(area));
    expect(new Set(names).size).toBe(names.length);
    expect(Object.keys(types).toSorted()).toEqual(names.toSorted());
  });

  it("refers only to types in the table", () => {
    const unknown = fields.filter(([name, text]) => {
      if (name.includes(" ")) return false;
      const type = text
        .slice(0, text.lastIndexOf(" "))
        .replace(/\[\]$/, "")
        .replace(/^\{(\w+:)?|\}$/g, "");
      return !scalars.split(" ").includes(type) && !Object.hasOwn(types, type);
    });
    expect(unknown).toEqual([]);
  });

  it("has a release for each field and value", () => {
    const strange = fields.filter(([, text]) => !/ (2\.\d+|1[789]\d{3}|2\d{4})$/.test(text));
    expect(strange).toEqual([]);
    expect(fields.length).toBeGreaterThan(500);
  });

  it("has its releases in order", () => {
    for (const column of [0, 1] as const) {
      const numbers = releases.map((release) => release[column]);
      expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
    }
  });
});

describe("types", () => {
  it("follow from the tables", () => {
    expectTypeOf<HcsType<"AttachmentType">>().toEqualTypeOf<
      "VirtualDisk" | "Iso" | "PassThru" | "ExtensibleVirtualDisk"
    >();
    expectTypeOf<HcsType<"Scsi">["Attachments"]>().toEqualTypeOf<
      { readonly [lun: string]: HcsType<"Attachment"> } | undefined
    >();
    expectTypeOf<HcsType<"ProcessDetails">["ProcessId"]>().toEqualTypeOf<number | undefined>();
    expectTypeOf<HcnType<"HostComputeNetwork">["Ipams"]>().toEqualTypeOf<readonly HcnType<"Ipam">[] | undefined>();
  });

  it("that are written by hand are narrower, but not different", () => {
    expectTypeOf<ComputeSystemDocument>().toExtend<HcsType<"ComputeSystem">>();
    expectTypeOf<UnknownFields<ComputeSystemDocument, HcsType<"ComputeSystem">>>().toEqualTypeOf<never>();
    expectTypeOf<UnknownFields<HcnNetwork, HcnType<"HostComputeNetwork">>>().toEqualTypeOf<never>();
    expectTypeOf<UnknownFields<HcnEndpoint, HcnType<"HostComputeEndpoint">>>().toEqualTypeOf<never>();
    expectTypeOf<
      UnknownFields<Omit<HcnNamespace, "Resources">, HcnType<"HostComputeNamespace">>
    >().toEqualTypeOf<never>();
    expectTypeOf<UnknownFields<SystemExitStatus, HcsType<"SystemExitStatus">>>().toEqualTypeOf<never>();
  });
});

/** Paths of fields of the first type that are not in the second. */
type UnknownFields<Type, Known> = Type extends readonly (infer Item)[]
  ? UnknownFields<Item, Known extends readonly (infer Other)[] ? Other : never>
  : Type extends object
    ? {
        [Field in keyof Type & string]: Field extends keyof Known
          ? UnknownFields<NonNullable<Type[Field]>, NonNullable<Known[Field]>>
          : Field;
      }[keyof Type & string]
    : never;

const check = (type: keyof typeof hcsTypes, value: unknown, build?: number) =>
  schemaCheck(hcsTypes, type, { releases: hcsReleases, ...(build !== undefined && { build }) })(value, "at");

describe("checks", () => {
  it.each([
    ["ComputeSystem", { VirtualMachine: { Devices: { Scsi: { a: { Attachments: { "0": { Type: "Iso" } } } } } } }],
    ["ComputeSystem", { Owner: null, Container: { MappedPipes: [] } }],
    ["HvSocketSystemConfig", { ServiceTable: { "11111111-2222-3333-4444-555555555555": { Disabled: true } } }],
    ["VirtualMachine_Memory", { SizeInMB: Number.MAX_SAFE_INTEGER }],
    ["NumaProcessors", { count_per_node: { max: 4 } }],
    ["NetworkAdapter", { MacAddress: "00-15-5D-00-00-01" }],
    ["Battery", {}],
    ["Version", { Major: 0, Minor: 4_294_967_295 }],
    ["IsolationSettings", { LaunchData: "aGVsbG8=" }],
    ["MemoryMigrationTransferThrottleParams", { ThrottlingScale: 0.5 }],
    ["BlackoutExitedEventDetails", { BlackoutStopTimestamp: "2026-01-02T03:04:05Z" }],
    ["ModifySettingRequest", { Settings: 7 }],
  ] as const)("accept %s %j", (type, value) => {
    expect(check(type, value)).toBe(value);
  });

  it.each([
    ["Battery", [], "at: expected an object, got []"],
    ["Battery", { a: 1 }, "at.a: unknown field, expected one of"],
    ["Version", { Major: -1 }, "at.Major: expected an integer from 0 to 4294967295, got -1"],
    ["Version", { Major: 1.5 }, "at.Major: expected an integer"],
    ["Version", { Major: "2" }, 'at.Major: expected an integer from 0 to 4294967295, got "2"'],
    ["Attachment", { Type: "Floppy" }, 'at.Type: expected "VirtualDisk" or "Iso" or "PassThru"'],
    ["Attachment", { ReadOnly: 1 }, "at.ReadOnly: expected true or false, got 1"],
    ["Attachment", { Path: 7 }, "at.Path: expected a string, got 7"],
    ["Scsi", { Attachments: { x: {} } }, "at.Attachments.x (name): expected an integer from 0"],
    ["HvSocketSystemConfig", { ServiceTable: { x: {} } }, "at.ServiceTable.x (name): expected a GUID"],
    ["Numa", { Settings: {} }, "at.Settings: expected a list, got {}"],
    ["Numa", { Settings: [{ CountOfProcessors: -1 }] }, "at.Settings[0].CountOfProcessors: expected an integer"],
    ["NumaSetting", { CountOfMemoryBlocks: 2 ** 53 }, "at.CountOfMemoryBlocks: expected an integer"],
    ["IsolationSettings", { LaunchData: "?" }, "at.LaunchData: expected base64"],
    ["MemoryMigrationTransferThrottleParams", { ThrottlingScale: "1" }, "at.ThrottlingScale: expected a number"],
    ["BlackoutExitedEventDetails", { BlackoutStopTimestamp: "soon" }, "at.BlackoutStopTimestamp: expected a date"],
    ["NetworkAdapter", { MacAddress: "00:15" }, "at.MacAddress: expected a MAC address"],
  ] as const)("refuse %s %j", (type, value, message) => {
    expect(() => check(type, value)).toThrow(SchemaError);
    expect(() => check(type, value)).toThrow(message);
  });
});

describe("a host that is too old", () => {
  it.each([
    [
      "Chipset",
      { LinuxKernelDirect: {} },
      18_362,
      "at.LinuxKernelDirect",
      "version 2.2 of the HCS schema, build 18362",
    ],
    [
      "Chipset",
      { EnableHibernation: true },
      20_348,
      "at.EnableHibernation",
      "version 2.5 of the HCS schema, build 20348",
    ],
    ["IsolationSettings", { HclEnabled: true }, 22_000, "at.HclEnabled", "version 2.6 of the HCS schema, build 22000"],
    ["Topology", { Numa: {} }, 26_100, "at.Numa", "build 26100"],
  ] as const)("has no %s %j", (type, value, build, path, origin) => {
    const message = `${path}: host build ${build - 1} does not support this field, introduced in ${origin}`;
    expect(() => check(type, value, build - 1)).toThrow(message);
    expect(check(type, value, build)).toBe(value);
    expect(check(type, value)).toBe(value);
  });

  it("does not know later values", () => {
    const modify = { ResourceType: "CimMount" };
    expect(() => check("GuestModifySettingRequest", modify, 18_362)).toThrow(
      'at.ResourceType: host build 18362 does not support "CimMount", introduced in version 2.3 of the HCS schema, build 19041',
    );
    expect(check("GuestModifySettingRequest", modify, 19_041)).toBe(modify);
  });

  it("is reported for versions after the last known release, too", () => {
    const checkPolicy = schemaCheck(hcnTypes, "FirewallPolicySetting", { releases: hcnReleases, build: 22_000 });
    expect(() => checkPolicy({ VmType: "WSL" })).toThrow(
      "VmType: host build 22000 does not support this field, introduced in version 2.16 of the HCN schema, a build after 22000",
    );
  });

  it("is detected for parts of a virtual machine, too", () => {
    expect(() => virtualMachineCheck("Numa", 20_348)({ VirtualNodeCount: 2 }, "Numa")).toThrow("Numa.VirtualNodeCount");
    expect(virtualMachineCheck("Numa")({ VirtualNodeCount: 2 })).toEqual({ VirtualNodeCount: 2 });
  });
});
