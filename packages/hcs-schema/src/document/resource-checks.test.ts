import { describe, expect, it } from "vitest";
import {
  checkCgroupMetrics,
  checkComputeSystemProperties,
  checkCpuGroup,
  checkCrashReport,
  checkHostProcessStatus,
  checkLinuxGuestRequest,
  checkMemorySize,
  checkOciLinuxResources,
  checkOciWindowsResources,
  checkProcessorLimits,
  checkSystemExitStatus,
} from "../index.ts";

const properties = {
  Id: "vm",
  SystemType: "VirtualMachine",
  Owner: "o",
  RuntimeId: "01234567-89ab-cdef-0123-456789abcdef",
  RuntimeOsType: "Linux",
  State: "Running",
};

describe("memory and processors of a VM", () => {
  it.each([
    [checkMemorySize, 2],
    [checkProcessorLimits, {}],
    [checkProcessorLimits, { Limit: 100_000, Weight: 1, Reservation: 0 }],
    [checkCpuGroup, { Id: properties.RuntimeId }],
  ])("accept values in range: %#", (check, value) => {
    expect(check(value)).toEqual(value);
  });

  it.each([
    [checkMemorySize, 0, "expected a positive integer, got 0"],
    [checkMemorySize, 3, "expected a positive even number of mebibytes, got 3"],
    [checkProcessorLimits, { Limit: 0 }, "Limit: expected an integer from 1 to 100000, got 0"],
    [checkProcessorLimits, { Weight: 10_001 }, "Weight: expected an integer from 1 to 10000"],
    [checkProcessorLimits, { Count: 2 }, "Count: unknown field"],
    [checkCpuGroup, { Id: "first" }, 'Id: expected a GUID, got "first"'],
  ])("refuse other values: %#", (check, value, message) => {
    expect(() => check(value)).toThrow(message);
  });
});

describe("a host's answers about a VM", () => {
  it("may have unknown fields, which are left out", () => {
    const surplus = { New: 1, $unknowns: [{ length: 1 }] };
    const Memory = { VirtualNodeCount: 1, VirtualMachineMemory: { AssignedMemory: 4 } };
    const Statistics = { Timestamp: "2026-01-01T00:00:00Z", Processor: { TotalRuntime100ns: 2 ** 60 } };
    const answer = {
      ...properties,
      ...surplus,
      Memory: { ...Memory, ...surplus, VirtualMachineMemory: { ...Memory.VirtualMachineMemory, ...surplus } },
      Statistics: { ...Statistics, ...surplus, Processor: { ...Statistics.Processor, ...surplus } },
    };
    expect(checkComputeSystemProperties(answer)).toEqual({ ...properties, Memory, Statistics });
    const report = { CrashLog: "panic", CrashParameters: [1, 2 ** 63] };
    expect(checkCrashReport({ ...report, ...surplus })).toEqual(report);
    const exit = { Status: 1, ExitType: "UnexpectedExit", Attribution: [{ GuestCrash: { CrashParameters: [1] } }] };
    const [{ GuestCrash }] = exit.Attribution as [(typeof exit.Attribution)[0]];
    const Attribution = [{ ...surplus, GuestCrash: { ...GuestCrash, ...surplus } }];
    expect(checkSystemExitStatus({ ...exit, ...surplus, Attribution })).toEqual(exit);
    const process = { ProcessId: 4, Exited: true, ExitCode: 7, LastWaitResult: -1 };
    expect(checkHostProcessStatus({ ...process, ...surplus })).toEqual(process);
    expect(() => checkHostProcessStatus({ LastWaitResult: {} })).toThrow("LastWaitResult: expected an integer");
  });

  it.each([
    [{ Memory: { VirtualNodeCount: -1 } }, "Memory.VirtualNodeCount: expected a 64-bit counter, got -1"],
    [{ Memory: { VirtualMachineMemory: { SlpActive: 1 } } }, "Memory.VirtualMachineMemory.SlpActive: expected true"],
    [{ Statistics: { Processor: { TotalRuntime100ns: "1" } } }, "Statistics.Processor.TotalRuntime100ns: expected an"],
  ])("are refused with invalid figures: %j", (more, message) => {
    expect(() => checkComputeSystemProperties({ ...properties, ...more })).toThrow(message);
  });
});

describe("resources of the OCI specification", () => {
  it("keep unknown fields, and limits beyond the safe integers", () => {
    const linux = {
      memory: { limit: -1, swap: 2 ** 63, new: "x" },
      cpu: { quota: -1, period: 100_000, shares: 0, cpus: "0-1" },
      pids: { limit: 0 },
      unified: { "memory.high": "max" },
      intelRdt: {},
    };
    expect(checkOciLinuxResources(linux)).toEqual(linux);
    for (const cpu of [{ quota: 0, period: 0 }, { quota: 1000, period: 1000 }, { period: 1_000_000 }]) {
      expect(checkOciLinuxResources({ cpu })).toEqual({ cpu });
    }
    const windows = { memory: { limit: 4096 }, cpu: { count: 1, shares: 10_000, maximum: 1 }, storage: {} };
    expect(checkOciWindowsResources(windows)).toEqual(windows);
  });

  it.each([
    [checkOciLinuxResources, { memory: { limit: 1.5 } }, "memory.limit: expected an integer, got 1.5"],
    [checkOciLinuxResources, { memory: { limit: -2 } }, "memory.limit: expected a number of bytes, or -1 for no limit"],
    [
      checkOciLinuxResources,
      { cpu: { quota: 999 } },
      "cpu.quota: expected at least 1000 microseconds, -1 for no limit,",
    ],
    [
      checkOciLinuxResources,
      { cpu: { quota: -2 } },
      "cpu.quota: expected at least 1000 microseconds, -1 for no limit,",
    ],
    [checkOciLinuxResources, { memory: { limit: 2 ** 64 } }, "memory.limit: expected a 64-bit integer, got 184467"],
    [checkOciLinuxResources, { cpu: { period: 999 } }, "cpu.period: expected 1000 to 1000000 microseconds, got 999"],
    [checkOciLinuxResources, { cpu: { period: -1 } }, "cpu.period: expected an integer of at least 0, got -1"],
    [checkOciLinuxResources, { pids: [] }, "pids: expected an object, got a list"],
    [checkOciLinuxResources, { cpu: { shares: 1 } }, "cpu.shares: expected 2 to 262144, or 0 for unset"],
    [checkOciLinuxResources, { cpu: { shares: 262_145 } }, "cpu.shares: expected 2 to 262144, or 0 for unset"],
    [checkOciWindowsResources, { cpu: { shares: 0 } }, "cpu.shares: expected an integer from 1 to 10000, got 0"],
    [checkOciWindowsResources, { memory: { limit: 0 } }, "memory.limit: expected a positive integer, got 0"],
  ])("are refused: %#", (check, value, message) => {
    expect(() => check(value)).toThrow(message);
  });
});

describe("requests for resources to a Linux guest", () => {
  it.each([
    ["PodCgroupMemoryLimit", undefined],
    ["ContainerConstraints", { Linux: { memory: { limit: 4096 } } }],
    ["SecurityPolicyFragment", { Fragment: "AAAA" }],
    ["SecurityPolicy", { EnforcerType: "rego", EncodedSecurityPolicy: "e30=", EncodedUVMReference: "AAAA" }],
    ["SecurityPolicy", { EnforcerType: "", EncodedSecurityPolicy: "e30=" }],
  ])("accept %s", (ResourceType, Settings) => {
    const request = { ResourceType, RequestType: "Update", Settings };
    expect(checkLinuxGuestRequest(request)).toEqual(request);
  });

  it.each([
    ["PodCgroupMemoryLimit", {}, "Settings: expected no settings"],
    ["ContainerConstraints", {}, "Settings.Linux: expected an object, got nothing"],
    ["SecurityPolicy", { EnforcerType: "rego" }, "Settings.EncodedSecurityPolicy: expected a string"],
    ["SecurityPolicyFragment", { Fragment: "" }, "Settings.Fragment: expected a non-empty string"],
  ])("refuse %s with %j", (ResourceType, Settings, message) => {
    expect(() => checkLinuxGuestRequest({ ResourceType, RequestType: "Update", Settings })).toThrow(message);
  });
});

describe("metrics of a container", () => {
  it("omit unused groups", () => {
    const metrics = { pids: { current: 1 }, memory: { cache: 1, usage: { usage: 2 } } };
    const LCOWMetrics = { ...metrics, blkio: { sectors_recursive: [] }, network: [{}] };
    expect(checkCgroupMetrics({ LCOWMetrics, ProcessList: [] })).toEqual({ version: 1, metrics });
  });

  it("contain only known fields, at every level", () => {
    // Generated protobuf code would write `$unknowns` unchanged, and reads its own spelling of fields.
    const surplus = JSON.parse('{"$unknowns":[{"length":4096}],"rssHuge":"abc","__proto__":{"total_rss":1},"new":{}}');
    const first = {
      pids: { current: 1 },
      cpu: { usage: { total: 1, per_cpu: [1] }, throttling: { periods: 1 } },
      memory: { rss_huge: 1, usage: { usage: 2 }, swap: { max: 1 }, kernel: { limit: 1 }, kernel_tcp: { failcnt: 1 } },
      memory_oom_control: { oom_kill: 1 },
    };
    const second = { pids: { limit: 1 }, cpu: { user_usec: 1 }, memory: { anon: 1 }, memory_events: { oom_kill: 1 } };
    expect(checkCgroupMetrics({ ...surplus, LCOWMetrics: withEverywhere(first, surplus) })).toEqual({
      version: 1,
      metrics: first,
    });
    expect(checkCgroupMetrics({ ...surplus, LCOWMetricsV2: withEverywhere(second, surplus) })).toEqual({
      version: 2,
      metrics: second,
    });
  });

  it("may have their names in any case", () => {
    const metrics = { pids: { current: 1 }, memory: { cache: 1, usage: { usage: 2 } } };
    const given = { lcowmetrics: { PIDS: { Current: 1 }, Memory: { CACHE: 1, USAGE: { Usage: 2 } } } };
    expect(checkCgroupMetrics(given)).toEqual({ version: 1, metrics });
  });

  it("may have null for absent values, as Go writes it", () => {
    const LCOWMetricsV2 = { pids: null, cpu: { usage_usec: 2 } };
    expect(checkCgroupMetrics({ LCOWMetrics: null, LCOWMetricsV2 })).toEqual({
      version: 2,
      metrics: { cpu: { usage_usec: 2 } },
    });
  });

  it.each([
    [7, "Properties: expected an object, got 7"],
    [null, "Properties: expected an object, got null"],
    [{}, "Properties: expected LCOWMetrics or LCOWMetricsV2, got neither"],
    [{ LCOWMetrics: [] }, "LCOWMetrics: expected an object, got a list"],
    [{ LCOWMetrics: { cpu: { usage: { per_cpu: [1, -1] } } } }, "cpu.usage.per_cpu[1]: expected a 64-bit counter"],
    [{ LCOWMetricsV2: { memory: { usage: { usage: 1 } } } }, "memory.usage: expected an integer"],
  ])("are refused: %j", (value, message) => {
    expect(() => checkCgroupMetrics(value, "Properties")).toThrow(message);
  });
});

/** Adds fields to an object and to all objects in it. */
function withEverywhere(value: unknown, surplus: object): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const own = Object.entries(value).map(([name, field]) => [name, withEverywhere(field, surplus)]);
  return Object.fromEntries([...Object.entries(surplus), ...own]);
}
