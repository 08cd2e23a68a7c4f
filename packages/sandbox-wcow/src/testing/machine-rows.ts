/** Annotations about the VM and its host. */
import { topology, vm } from "@uvm-shim/sandbox-common";
import { machineRows as common, type Row, refused } from "@uvm-shim/sandbox-common/testing";
import type { AnnotationName } from "../annotations/annotations.ts";
import { type Built, kinds, type SettingRows } from "./setting-rows.ts";

const { flag, number, text } = kinds;
const registry = ({ registry: values }: Built) => values.map(({ Name }) => Name);
const perNode = `${topology}processor.numa.max-processors-per-node`;
const mapped = `${topology}numa.mapped-physical-nodes`;
const shareOptions = ({ Devices }: Built) => Devices?.VirtualSmb?.Shares?.[0]?.Options.NoDirectmap ?? false;
const logServices = ({ Devices }: Built) =>
  Object.keys(Devices?.HvSocket?.HvSocketConfig?.ServiceTable ?? {}).length > 0;

const software = { Hive: "Software", Name: "Any\\Where" };
const values = (...items: unknown[]): string => JSON.stringify(items);
const value = (more: object): string => values({ Key: software, Name: "n", Type: "DWord", DWordValue: 1, ...more });
const added = ({ registry: all }: Built) => all.slice(1);
const wrong = (more: object, expected: string): Row => [value(more), refused(expected)];
const list = "a JSON list of registry values";

/** Rows of the annotations about the VM and its host. */
export const machineRows = {
  ...common,
  resourcePartition: {
    ...common.resourcePartition,
    boundary: [...common.resourcePartition.boundary.slice(1), ["", refused('got "", expected a GUID without braces')]],
  },
  // A setting without the one that it needs is reported.
  numaMemoryPerNode: { ...common.numaMemoryPerNode, default: refused(`as ${perNode} is given`) },
  numaMappedNodes: {
    ...common.numaMappedNodes,
    default: undefined,
    boundary: [...common.numaMappedNodes.boundary.slice(0, -1), ["", undefined]],
  },
  numaProcessorsPerNode: {
    ...common.numaProcessorsPerNode,
    default: undefined,
    boundary: [["0", undefined], ...common.numaProcessorsPerNode.boundary.slice(1)],
  },
  numaProcessors: { ...common.numaProcessors, default: refused(`as many as ${mapped} has`) },
  guestMemory: number(
    ({ settings }) => {
      const memoryBytes = 64 * 2 ** 20;
      const verdict = settings.size.judge({ containers: [{ memoryBytes }], container: { memoryBytes }, memoryInMb: 4 });
      return verdict.kind === "grow" ? verdict.memoryInMb : verdict;
    },
    { most: 2 ** 40, byDefault: 1024 + 66, find: (asked) => asked + 66 + (asked % 2) },
  ),
  processDumpLocation: text(registry, {
    valid: ["C:\\dumps", ["Start", "Disabled", "EnableCompartmentNamespace"]],
    byDefault: ["EnableCompartmentNamespace"],
  }),
  disableCompartmentNamespace: flag(registry, { on: [], off: ["EnableCompartmentNamespace"] }),
  registryValues: {
    effect: added,
    default: [],
    valid: [
      [value({}), [{ Key: software, Name: "n", Type: "DWord", DWordValue: 1 }]],
      [
        values({
          Key: { Hive: "System", Name: "CURRENTCONTROLSET\\Services\\a", Volatile: true },
          Name: "n",
          Type: "None",
        }),
        [{ Key: { Hive: "System", Name: "CURRENTCONTROLSET\\Services\\a", Volatile: true }, Name: "n", Type: "None" }],
      ],
      [
        value({ Type: "CustomType", CustomType: 7, BinaryValue: "AA==", DWordValue: undefined }),
        [{ Key: software, Name: "n", Type: "CustomType", CustomType: 7, BinaryValue: "AA==" }],
      ],
      [
        value({ Type: "String", StringValue: "s", DWordValue: undefined }),
        [{ Key: software, Name: "n", Type: "String", StringValue: "s" }],
      ],
      [
        value({ Type: "QWord", QWordValue: 2 ** 40, DWordValue: undefined }),
        [{ Key: software, Name: "n", Type: "QWord", QWordValue: 2 ** 40 }],
      ],
    ],
    boundary: [
      ["", []],
      ["[]", []],
      ["null", []],
      [
        values({ key: { hive: "Software", NAME: "Any\\Where" }, name: "n", type: "DWord", dwordValue: 1 }),
        [{ Key: software, Name: "n", Type: "DWord", DWordValue: 1 }],
      ],
      // What a client in Go writes of fields without a value.
      [
        value({ StringValue: "", BinaryValue: "", QWordValue: 0, CustomType: 0 }),
        [{ Key: software, Name: "n", Type: "DWord", DWordValue: 1 }],
      ],
      [value({ StringValue: null }), [{ Key: software, Name: "n", Type: "DWord", DWordValue: 1 }]],
      [value({ DWordValue: -5 }), [{ Key: software, Name: "n", Type: "DWord", DWordValue: 2 ** 32 - 5 }]],
      [value({ DWordValue: 0 }), [{ Key: software, Name: "n", Type: "DWord", DWordValue: 0 }]],
      wrong({ DWordValue: 2 ** 32 }, "got 4294967296 as [0].DWordValue, expected a whole number from -2147483648"),
      wrong({ Key: { Hive: "System", Name: "CurrentControlSet\\ServicesX" } }, "expected a key in one of"),
    ],
    invalid: [
      ["{", refused(`got "{", expected ${list}`)],
      ["{}", refused(`got {}, expected ${list}`)],
      ["[1]", refused("got 1 as [0], expected an object with Key, Name, Type")],
      wrong({ Key: undefined }, "got nothing as [0].Key, expected an object with Hive, Name, Volatile"),
      wrong({ Key: { Hive: "User", Name: "k" } }, 'got "User" as [0].Key.Hive, expected one of System, Software'),
      wrong({ Key: { Hive: "Software", Name: "" } }, 'got "" as [0].Key.Name, expected text'),
      wrong({ Key: { Hive: "Sam", Name: "SAM" } }, "expected another hive: System or Software"),
      wrong({ Key: { ...software, Volatile: 1 } }, "got 1 as [0].Key.Volatile, expected true or false"),
      wrong({ Name: undefined }, "got nothing as [0].Name, expected text"),
      wrong({ Type: "Dword" }, 'got "Dword" as [0].Type, expected one of None, String'),
      wrong({ StringValue: "s" }, "as [0].StringValue, expected none: a value of type DWord has DWordValue"),
      wrong({ CustomType: 1 }, "got 1 as [0].CustomType, expected none, as Type is DWord"),
      wrong({ Extra: 1 }, "as [0], expected an object with"),
      wrong({ Type: "Binary", DWordValue: undefined, BinaryValue: "?" }, "as [0].BinaryValue, expected base64"),
      wrong(
        { Type: "QWord", DWordValue: undefined, QWordValue: -1 },
        "got -1 as [0].QWordValue, expected a whole number",
      ),
    ],
  },
  dumpFolder: {
    effect: ({ document, settings }) => [
      document.VirtualMachine.DebugOptions?.BugcheckSavedStateFileName,
      ...settings.preparation.vmGroupAccess,
    ],
    default: [undefined],
    valid: [["C:\\dumps", ["C:\\dumps\\pod@vm-savedstate.vmrs", "C:\\dumps"]]],
    boundary: [
      ["", [undefined]],
      ["C:/dumps/../dumps/", ["C:\\dumps\\pod@vm-savedstate.vmrs", "C:\\dumps"]],
    ],
    invalid: [
      ["dumps", refused('got "dumps", expected the absolute path of a folder that exists')],
      ["C:\\none", refused('got "C:\\\\none", expected the absolute path of a folder that exists')],
      ["C:\\\n", refused("expected text without control characters")],
    ],
  },
  consolePipe: {
    effect: ({ Devices }) => Devices?.ComPorts?.["0"]?.NamedPipe,
    default: undefined,
    valid: [["\\\\.\\pipe\\console", "\\\\.\\pipe\\console"]],
    boundary: [["", undefined]],
    invalid: [["pipe", refused("expected a name that starts with \\\\.\\pipe\\")]],
  },
  noInheritTimeZone: flag(({ settings }) => settings.inheritsTimeZone, { on: false, off: true }),
  logForwarding: { ...flag(logServices), default: true },
  logSources: {
    effect: ({ settings }) => Object.keys(JSON.parse(atob(settings.logForwarding?.sources ?? "")).LogConfig.sources),
    default: ["0"],
    valid: [[btoa('{"LogConfig":{"sources":[{"type":"Other","providers":[]}]}}'), ["0", "1"]]],
    boundary: [
      ["", ["0"]],
      [btoa("{}"), ["0"]],
      [btoa('{"LogConfig":null}'), ["0"]],
      [`${btoa("{}")}\r\n`, ["0"]],
    ],
    invalid: [
      ["@@", refused("got 2 characters, expected base64 of a JSON object with LogConfig.sources")],
      [btoa("[]"), refused("got 4 characters, expected base64 of a JSON object")],
      [btoa('{"LogConfig":{"sources":[1]}}'), refused("got 1 as LogConfig.sources[0], expected an object")],
    ],
  },
  defaultLogSources: {
    ...flag(({ settings }) => atob(settings.logForwarding?.sources ?? "").includes("containers.setup")),
    default: true,
  },
  disableUnsafeOperations: flag(({ settings }) => settings.noWritableFileShares && settings.noDirectMap),
  disableHostProcess: flag(({ settings }) => settings.disablesHostProcess),
  disableGmsa: flag(({ settings }) => settings.disablesGmsa),
  vsmbNoDirectMap: flag(shareOptions),
  hostProcess: flag(({ warnings }) => warnings, { on: [], off: [] }),
  bootFilesRootPath: {
    ...text(({ Devices }) => Devices?.VirtualSmb?.Shares?.[0]?.Path, {
      valid: ["C:\\layers\\base", "C:\\layers\\base\\UtilityVM\\Files"],
      byDefault: refused("rootfs: got nothing, expected layers of a Windows image with a utility VM, or its folder by"),
      more: { rootfs: [] },
    }),
    invalid: [
      ["layers", refused('got "layers", expected an absolute path')],
      ["C:\\\n", refused("expected text without control characters")],
    ],
  },
} satisfies { readonly [Name in AnnotationName]?: SettingRows };

/** The key of an hvsocket service. */
export const service = `${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`;
const serviceObject = refused("expected a JSON object with BindSecurityDescriptor (string)");

/** Rows of that key. */
export const serviceRows: SettingRows = {
  given: { [`${vm}forwardlogs.enable`]: "false" },
  effect: ({ Devices }) => Object.values(Devices?.HvSocket?.HvSocketConfig?.ServiceTable ?? {}),
  default: [],
  valid: [['{"AllowWildcardBinds":true,"Disabled":false}', [{ AllowWildcardBinds: true }]]],
  boundary: [
    ["{}", [{}]],
    ['{"allowwildcardbinds":true,"DISABLED":true}', [{ AllowWildcardBinds: true, Disabled: true }]],
    ['{"Disabled":null}', [{}]],
  ],
  invalid: ["", "[]", "null", '{"Disabled":"true"}', '{"Unknown":true}'].map((each) => [each, serviceObject]),
};
