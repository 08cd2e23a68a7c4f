/** Every document of a host's answers, with its names in any case. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { answerObject, type Check, closedObject, integer, openObject, optional, text } from "../check.ts";
import { endpointForWindowsGuest, namespaceForWindowsGuest } from "../guest/wcow.ts";
import { checkWindowsProcessList, checkWindowsStatistics, checkWindowsSystemGuid } from "../guest/wcow-answers.ts";
import { checkHostTimeZone } from "../guest/wcow-vm.ts";
import { checkHcnEncapOverhead, checkHcnEndpoint, checkHcnNamespace, checkHcnNetwork } from "../hcn/hcn-checks.ts";
import { checkHostErrorDocument, checkHostErrorEvent, checkHostProcessStatus, serviceAnswer } from "./answer-checks.ts";
import { checkComputeSystemProperties, checkSystemExitStatus, checkSystemType } from "./checks.ts";
import { checkCredentialGuardInstance, checkCredentialGuards } from "./credential-guard.ts";
import { checkCrashReport, checkMemoryInformation, checkSystemStatistics } from "./resource-checks.ts";
import { hcnReleases, schemaCheck } from "./schema.ts";
import { hcnTypes } from "./tables.ts";

const id = "12345678-1234-1234-1234-123456789abc";
const SchemaVersion = { Major: 2, Minor: 0 };
const Routes = [{ NextHop: "10.0.0.1", DestinationPrefix: "0.0.0.0/0", Metric: 1 }];
const Dns = { Domain: "pod.test", Search: ["svc.test"], ServerList: ["10.0.0.1"], Options: ["ndots:5"] };
const endpoint = {
  ID: id,
  Name: "eth0",
  HostComputeNetwork: id,
  HostComputeNamespace: id,
  IpConfigurations: [{ IpAddress: "10.0.0.2", PrefixLength: 24 }],
  Routes,
  Dns,
  MacAddress: "00-15-5D-00-00-01",
  Policies: [{ Type: "EncapOverhead" }],
  SchemaVersion,
  Flags: 0,
  Health: { Data: 1, Extra: { Resources: 2, SharedContainers: 3, LayeredOn: "4", SwitchGuid: "5", UtilityVM: "6" } },
};
const namespace = {
  ID: id,
  NamespaceId: 3,
  Type: "Guest",
  Resources: [{ Type: "Endpoint", Data: { Id: id } }],
  SchemaVersion,
};
const memory = {
  VirtualNodeCount: 1,
  VirtualMachineMemory: {
    AvailableMemory: 1,
    AvailableMemoryBuffer: 2,
    ReservedMemory: 3,
    AssignedMemory: 4,
    SlpActive: true,
    BalancingEnabled: true,
    DmOperationInProgress: true,
  },
};
const statistics = {
  Timestamp: "2026-01-01T00:00:00Z",
  Uptime100ns: 1,
  Processor: { TotalRuntime100ns: 2, RuntimeUser100ns: 3, RuntimeKernel100ns: 4 },
};

/** Documents by the check that reads them, with every known field, spelled as in Microsoft's schema. */
const credentialGuard = {
  Id: "c",
  CredentialGuard: { Cookie: "a", RpcEndpoint: "b", Transport: "LRPC", CredentialSpec: "{}" },
  HvSocketConfig: {
    ServiceId: id,
    ServiceConfig: {
      BindSecurityDescriptor: "a",
      ConnectSecurityDescriptor: "b",
      AllowWildcardBinds: true,
      Disabled: false,
    },
  },
};

const answers: { readonly [check: string]: readonly [read: Check<unknown>, document: unknown] } = {
  checkHcnNetwork: [
    checkHcnNetwork,
    {
      ID: id,
      Name: "pods",
      Type: "L2Bridge",
      Ipams: [{ Type: "Static", Subnets: [{ IpAddressPrefix: "10.0.0.0/24", Routes }] }],
      Dns,
      Policies: [{ Type: "VLAN" }],
      SchemaVersion,
    },
  ],
  checkHcnEndpoint: [checkHcnEndpoint, endpoint],
  checkHcnNamespace: [checkHcnNamespace, namespace],
  checkHcnEncapOverhead: [checkHcnEncapOverhead, { Overhead: 50 }],
  endpointForWindowsGuest: [endpointForWindowsGuest, endpoint],
  namespaceForWindowsGuest: [namespaceForWindowsGuest, namespace],
  checkComputeSystemProperties: [
    checkComputeSystemProperties,
    {
      Id: "vm",
      SystemType: "VirtualMachine",
      Owner: "test",
      RuntimeId: id,
      RuntimeOsType: "Linux",
      State: "Running",
      Memory: memory,
      Statistics: statistics,
    },
  ],
  checkSystemType: [checkSystemType, { SystemType: "Container" }],
  checkMemoryInformation: [checkMemoryInformation, memory],
  checkHostTimeZone: [
    checkHostTimeZone,
    {
      Bias: -60,
      StandardName: "W. Europe Standard Time",
      StandardDate: { Year: 0, Month: 10, DayOfWeek: 0, Day: 5, Hour: 3, Minute: 0, Second: 0, Milliseconds: 0 },
      StandardBias: 0,
      DaylightName: "W. Europe Daylight Time",
      DaylightDate: { Year: 0, Month: 3, DayOfWeek: 0, Day: 5, Hour: 2, Minute: 0, Second: 0, Milliseconds: 0 },
      DaylightBias: -60,
    },
  ],
  checkSystemStatistics: [checkSystemStatistics, statistics],
  checkWindowsProcessList: [
    checkWindowsProcessList,
    {
      ProcessList: [
        {
          ProcessId: 4,
          ImageName: "cmd.exe",
          CreateTimestamp: "2026-01-01T00:00:00Z",
          UserTime100ns: 1,
          KernelTime100ns: 2,
          MemoryCommitBytes: 3,
          MemoryWorkingSetPrivateBytes: 4,
          MemoryWorkingSetSharedBytes: 5,
        },
      ],
    },
  ],
  checkWindowsStatistics: [
    checkWindowsStatistics,
    {
      Statistics: {
        Timestamp: "2026-01-01T00:00:01Z",
        ContainerStartTime: "2026-01-01T00:00:00Z",
        Uptime100ns: 10_000_000,
        Processor: { TotalRuntime100ns: 3, RuntimeUser100ns: 1, RuntimeKernel100ns: 2 },
        Memory: {
          MemoryUsageCommitBytes: 1,
          MemoryUsageCommitPeakBytes: 2,
          MemoryUsagePrivateWorkingSetBytes: 3,
        },
        Storage: { ReadCountNormalized: 1, ReadSizeBytes: 2, WriteCountNormalized: 3, WriteSizeBytes: 4 },
      },
    },
  ],
  checkWindowsSystemGuid: [checkWindowsSystemGuid, { SystemGUID: id }],
  checkSystemExitStatus: [
    checkSystemExitStatus,
    {
      Status: -1,
      ExitType: "UnexpectedExit",
      Attribution: [
        { WorkerExit: { ExitCode: 1, Type: "Stopped", Detail: "PowerOff", Initiator: "GuestOS" } },
        { GuestCrash: { CrashParameters: [1] } },
        { TripleFault: { ErrorType: 1 }, InjectNonMaskableInterrupt: {}, OperationFailure: { Detail: "Start" } },
        { SystemExit: { Detail: "Shutdown", Initiator: "Client" } },
        { VirtualDeviceFailure: { Detail: "Create", Name: "disk", DeviceId: id, InstanceId: id } },
      ],
    },
  ],
  checkCrashReport: [
    checkCrashReport,
    { SystemId: "vm", ActivityId: id, CrashLog: "last words", CrashParameters: [1, 2] },
  ],
  checkHostProcessStatus: [checkHostProcessStatus, { ProcessId: 4, Exited: true, ExitCode: 7, LastWaitResult: -1 }],
  checkHostErrorDocument: [
    checkHostErrorDocument,
    { Error: -2143878902, ErrorMessage: "no", ErrorCode: 1, ErrorEvents: [] },
  ],
  checkCredentialGuardInstance: [checkCredentialGuardInstance, credentialGuard],
  checkCredentialGuards: [checkCredentialGuards, { Instances: [credentialGuard] }],
  checkHostErrorEvent: [checkHostErrorEvent, { Message: "why" }],
  serviceAnswer: [
    serviceAnswer(["Basic", "CpuGroup", "ProcessorTopology", "ContainerCredentialGuard", "QoSCapabilities"]),
    {
      Properties: [
        { SupportedSchemaVersions: [SchemaVersion] },
        {
          CpuGroups: [
            {
              GroupId: id,
              Affinity: { LogicalProcessorCount: 1, LogicalProcessors: [0] },
              GroupProperties: [{ PropertyCode: 1, PropertyValue: 2 }],
              HypervisorGroupId: 1,
            },
          ],
        },
        {
          LogicalProcessorCount: 1,
          LogicalProcessors: [
            { LpIndex: 0, NodeNumber: 0, PackageId: 0, CoreId: 0, RootVpIndex: 0, Subnodes: [{ Type: "L3", Id: 1 }] },
          ],
        },
        { Instances: [credentialGuard] },
        { ProcessorQoSSupported: true },
      ],
    },
  ],
};

const spellings: { readonly [spelling: string]: (name: string) => string } = {
  "as in the schema": (name) => name,
  "in lower case": (name) => name.toLowerCase(),
  "in upper case": (name) => name.toUpperCase(),
  "with the case of each letter swapped": (name) =>
    name.replaceAll(/[a-z]/gi, (letter) => (letter < "a" ? letter.toLowerCase() : letter.toUpperCase())),
  "as hcsshim writes it": (name) => (name === "Id" ? "ID" : name),
};

function respelled(value: unknown, spell: (name: string) => string): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => respelled(item, spell));
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [spell(name), respelled(member, spell)]));
}

describe.each(Object.entries(answers))("a document that %s reads", (_check, [read, document]) => {
  it.each(Object.entries(spellings))("may have its names %s", (_spelling, spell) => {
    expect(read(respelled(document, spell))).toEqual(document);
  });
});

it("the documents above cover all checks of answers", () => {
  const folder = join(import.meta.dirname, "..");
  const sources = readdirSync(folder, { encoding: "utf8", recursive: true })
    .filter((name) => name.endsWith(".ts") && !/\.test\.ts$|^check\.ts$/.test(name))
    .toSorted();
  const statements = sources.flatMap((name) => readFileSync(join(folder, name), "utf8").split(/\n(?=\S)/));
  const readers = statements.flatMap((statement) => {
    const [, name] = /^export (?:const|function) (\w+)/.exec(statement) ?? [];
    return name !== undefined && /answerObject|openObject|hcn(Endpoint|Namespace)\(/.test(statement) ? [name] : [];
  });
  // Checks of what a client of the shim or a Linux guest wrote, and the tables of checks.
  const others = /^check(Oci|Cgroup|Linux|WindowsNetwork)|^hcn(Endpoint|Namespace)$/;
  expect(readers.filter((name) => !others.test(name)).toSorted()).toEqual(Object.keys(answers).toSorted());
});

it("the documents above have the names of their schemas", () => {
  const inSchema = (name: "HostComputeEndpoint" | "NamespaceResourceEndpoint", value: unknown) => () =>
    schemaCheck(hcnTypes, name, { releases: hcnReleases })(value);
  const { Flags: _number, Health: _health, ...rest } = endpoint;
  expect(inSchema("HostComputeEndpoint", rest)).not.toThrow();
  for (const { Data } of namespace.Resources) expect(inSchema("NamespaceResourceEndpoint", Data)).not.toThrow();
});

describe("names that differ only in case", () => {
  const read = answerObject<{ readonly Id?: string; readonly Count?: number }>({
    Id: optional(text),
    Count: optional(integer(0)),
  });

  it.each([
    ['{"Id":"exact","ID":"last"}', { Id: "last" }],
    ['{"ID":"other","Id":"last"}', { Id: "last" }],
    ['{"id":"last","Id":null}', { Id: "last" }],
    ['{"Id":null}', {}],
    ['{"\u0130d":"dotted capital"}', {}],
    ['{"COUNT":1,"\u212Aount":2}', { Count: 1 }],
    ['{"__proto__":{"Id":"inherited"},"constructor":1}', {}],
  ])("%s", (json, expected) => {
    expect(read(JSON.parse(json))).toEqual(expected);
  });

  it("are reported with the schema's name", () => {
    expect(() => read({ ID: 7 })).toThrow("Id: expected a string, got 7");
  });

  it("are folded like in Go's decoder, beyond ASCII too", () => {
    const kelvins = answerObject<{ readonly Kiss: string }>({ Kiss: text });
    expect(kelvins({ "\u212AI\u017F\u017F": "a" })).toEqual({ Kiss: "a" });
  });

  it("replace each other if other fields are kept", () => {
    const kept = openObject<{ readonly Id: string }>({ Id: text });
    expect(kept(JSON.parse('{"ID":"a","Colour":"red","__proto__":1}'))).toEqual(
      Object.fromEntries([
        ["Colour", "red"],
        ["__proto__", 1],
        ["Id", "a"],
      ]),
    );
  });

  it("are unknown fields for a strict check", () => {
    expect(() => closedObject<{ readonly Id: string }>({ Id: text })({ ID: "a" })).toThrow("ID: unknown field");
  });
});
