/** Every runtime option: its default, usual values, and what is refused. How they are decoded is tested in packages/shim. */
import { Refused, refused } from "@uvm-shim/sandbox-common/testing";
import { describe, expect, it } from "vitest";
import type { RuntimeOptions } from "./index.ts";
import { build } from "./testing/sandbox.ts";
import type { Built, More } from "./testing/setting-rows.ts";

type Row = readonly [value: unknown, expected: unknown];

interface OptionRows {
  /** The protobuf name. */
  readonly name: string;
  readonly more?: More;
  readonly effect: (built: Built) => unknown;
  readonly default: unknown;
  readonly rows: readonly Row[];
}

const warningsOf = ({ warnings }: Built) => warnings;
const noNumber: readonly Row[] = [-1, 1.5, 2 ** 31].map((value) => [
  value,
  refused(`got ${value}, expected a whole number from 0 to 2147483647`),
]);

function withoutEffect(
  name: string,
  value: unknown,
  none: unknown,
  reason = "",
  more: readonly Row[] = [],
): OptionRows {
  const warning = `option ${name} has no effect on Windows sandboxes${reason}`;
  return { name, effect: warningsOf, default: [], rows: [[value, [warning]], [none, []], ...more] };
}

const platform = refused("expected windows/amd64");
const otherArchitecture = "option sandbox_platform is for arm64, and this host is amd64: the VM is as the host";

const options: { readonly [Option in keyof Required<RuntimeOptions>]: OptionRows } = {
  debug: {
    name: "debug",
    effect: ({ settings }) => settings.logLevel,
    default: undefined,
    rows: [
      [true, "debug"],
      [false, undefined],
    ],
  },
  debugType: withoutEffect("debug_type", "ETW", "NPIPE"),
  registryRoot: withoutEffect("registry_root", "SOFTWARE", ""),
  sandboxImage: withoutEffect("sandbox_image", "pause", ""),
  sandboxPlatform: {
    name: "sandbox_platform",
    effect: warningsOf,
    default: [],
    rows: [
      ["windows/amd64", []],
      ["Windows/AMD64", []],
      ["windows", []],
      ["amd64", []],
      ["windows(10.0.26100)/amd64", []],
      ["windows/arm64", [otherArchitecture]],
      ["", []],
      ["linux/amd64", platform],
      ["darwin/amd64", platform],
      ["windows/*", platform],
      ["windows/", platform],
      ["windows/amd64/a/b", platform],
      ["sparc", platform],
    ],
  },
  sandboxIsolation: {
    name: "sandbox_isolation",
    effect: warningsOf,
    default: [],
    rows: [
      ["HYPERVISOR", []],
      ["PROCESS", refused('got "PROCESS", expected HYPERVISOR: each pod has a virtual machine')],
    ],
  },
  bootFilesRootPath: {
    name: "boot_files_root_path",
    more: { rootfs: [] },
    effect: ({ Devices }) => Devices?.VirtualSmb?.Shares?.[0]?.Path,
    default: refused("its folder by option boot_files_root_path or"),
    rows: [
      ["C:\\layers\\base", "C:\\layers\\base\\UtilityVM\\Files"],
      ["", refused("rootfs: got nothing")],
      ["base", refused('bootfilesrootpath: got "base", expected an absolute path')],
      ["C:\\none", refused("there is no file C:\\none\\UtilityVM\\SystemTemplate.vhdx")],
    ],
  },
  vmProcessorCount: {
    name: "vm_processor_count",
    effect: ({ Processor }) => Processor.Count,
    default: 2,
    rows: [[3, 3], [0, 2], [2 ** 31 - 1, 8], ...noNumber],
  },
  vmMemorySizeInMb: {
    name: "vm_memory_size_in_mb",
    effect: ({ Memory }) => Memory.SizeInMB,
    default: 1024,
    rows: [[511, 512], [0, 1024], ...noNumber],
  },
  GPUVHDPath: withoutEffect("GPUVHDPath", "C:\\gpu.vhd", "", "", [["gpu", refused("expected an absolute path")]]),
  scaleCpuLimitsToSandbox: {
    name: "scale_cpu_limits_to_sandbox",
    effect: ({ settings, warnings }) => [settings.scalesCpuLimits, ...warnings],
    default: [false],
    rows: [
      [true, [true]],
      [false, [false]],
    ],
  },
  defaultContainerScratchSizeInGb: withoutEffect(
    "default_container_scratch_size_in_gb",
    20,
    0,
    ": the snapshotter sets the size of scratch disks",
    noNumber,
  ),
  defaultVmScratchSizeInGb: withoutEffect("default_vm_scratch_size_in_gb", 20, 0, "", noNumber),
  shareScratch: withoutEffect("share_scratch", true, false),
  NCProxyAddr: {
    name: "NCProxyAddr",
    effect: warningsOf,
    default: [],
    rows: [
      ["", []],
      ["pipe", refused("pods have no network configuration proxy", "Unimplemented")],
    ],
  },
  logLevel: {
    name: "log_level",
    effect: ({ settings }) => settings.logLevel,
    default: undefined,
    rows: [
      ["trace", "trace"],
      ["Warning", "warning"],
      ["", undefined],
      ["loud", refused('got "loud", expected one of trace, debug')],
    ],
  },
  ioRetryTimeoutInSec: {
    name: "io_retry_timeout_in_sec",
    effect: ({ settings }) => settings.ioRetrySeconds,
    default: undefined,
    rows: [[5, 5], [0, undefined], ...noNumber],
  },
  defaultContainerAnnotations: {
    name: "io.microsoft.virtualmachine.computetopology.processor.count",
    effect: ({ Processor, settings }) => [Processor.Count, settings.defaultContainerAnnotations],
    default: [2, {}],
    rows: ["3", "many"].map((count) => {
      const annotations = { "io.microsoft.virtualmachine.computetopology.processor.count": count };
      return [annotations, count === "3" ? [3, annotations] : refused('got "many", expected a whole number')];
    }),
  },
  noInheritHostTimezone: {
    name: "no_inherit_host_timezone",
    effect: ({ settings }) => settings.inheritsTimeZone,
    default: true,
    rows: [
      [true, false],
      [false, true],
    ],
  },
  scrubLogs: {
    name: "scrub_logs",
    effect: warningsOf,
    default: [],
    rows: [
      [true, []],
      [false, []],
    ],
  },
};

describe.each(Object.entries(options))("%s", (option, { name, more, effect, default: byDefault, rows }) => {
  const expectAs = (chosen: RuntimeOptions, expected: unknown): void => {
    const act = (): unknown => effect(build({}, { ...more, options: chosen }));
    if (!(expected instanceof Refused)) {
      expect(act()).toEqual(expected);
      return;
    }
    expect(act).toThrow(expect.objectContaining({ code: expected.code }));
    expect(act).toThrow(expected.message);
  };

  it("has a default", () => expectAs({}, byDefault));

  it.each(rows)("%j", (value, expected) => {
    const chosen = { [option]: value };
    expectAs(chosen, expected);
    if (expected instanceof Refused && expected.code !== "") {
      expect(() => build({}, { ...more, options: chosen })).toThrow(
        option === "bootFilesRootPath" ? /rootfs|bootfilesrootpath|boot_files/ : name,
      );
    }
  });
});

it("annotations come before options, and options before default annotations", () => {
  const key = "io.microsoft.virtualmachine.computetopology.memory.sizeinmb";
  const defaults = { defaultContainerAnnotations: { [key]: "4096" } };
  const sizeOf = (annotations: object, chosen: RuntimeOptions): number =>
    build({ ...annotations }, { options: chosen }).Memory.SizeInMB;
  expect(sizeOf({}, defaults)).toBe(4096);
  expect(sizeOf({}, { ...defaults, vmMemorySizeInMb: 2048 })).toBe(2048);
  expect(sizeOf({ [key]: "512" }, { ...defaults, vmMemorySizeInMb: 2048 })).toBe(512);
});

it.each<[RuntimeOptions, boolean]>([
  [{}, true],
  [{ debug: false, registryRoot: "", defaultContainerAnnotations: {} }, true],
  [{ debug: true, sandboxIsolation: "HYPERVISOR" }, true],
  [{ debug: true }, false],
  [{ defaultContainerAnnotations: { a: "b" } }, false],
])("options %j beside windows.hyperv are accepted: %s", (chosen, accepted) => {
  const act = (): unknown => build({}, { options: chosen, specification: { windows: { hyperv: {} } } });
  if (accepted) expect(act()).toBeDefined();
  else expect(act).toThrow("sandbox_isolation: got nothing, expected HYPERVISOR, as windows.hyperv is given");
});
