/** Every runtime option as containerd passes it: its default, a usual value, its limits and invalid values. */

import { containerAnnotationKeys } from "@uvm-shim/controller-container";
import {
  buildLinuxSandbox,
  type LinuxSandbox,
  containerAnnotationKeys as leftToContainers,
  type RuntimeOptions,
} from "@uvm-shim/sandbox-lcow";
import { decodeRuntimeOptions } from "@uvm-shim/shim";
import { containerd, runtimeoptions } from "@uvm-shim/shim/protocol";
import { describe, expect, it } from "vitest";

const folder = "/opt/LinuxBootFiles";
const files = ["", "/boot"].flatMap((other) => ["kernel", "initrd.img"].map((name) => `${other || folder}/${name}`));
const host = {
  processors: 8,
  pathGrammar: "posix",
  hasFile: (path: string) => files.includes(path),
  hasFolder: () => true,
  executableFolder: "/opt",
  newId: () => "",
  sha256: (data: Uint8Array) => data,
} as const;

/** The sandbox of a runtime with this section in containerd's configuration. */
async function sandboxWith(toml: string): Promise<LinuxSandbox> {
  const { Options } = runtimeoptions.v1;
  const value = Options.encode(new Options({ configBody: Buffer.from(toml) })).finish();
  const options = await decodeRuntimeOptions({ typeUrl: "runtimeoptions.v1.Options", value });
  return buildLinuxSandbox({ owner: "test", bundle: "/bundle", annotations: {}, options, host });
}

/** A TOML value and the result of `effect`, or a part of the error message. */
type Row = readonly [toml: string, expected: unknown];

interface OptionRows {
  /** The protobuf name. */
  readonly name: string;
  readonly effect: (sandbox: LinuxSandbox) => unknown;
  readonly default: unknown;
  readonly valid: readonly Row[];
  readonly boundary: readonly Row[];
  readonly invalid: readonly Row[];
}

const setting =
  (name: keyof LinuxSandbox["settings"]) =>
  ({ settings }: LinuxSandbox) =>
    settings[name];
const warningsOf = ({ warnings }: LinuxSandbox) => warnings;
const topology = ({ document }: LinuxSandbox) => document.VirtualMachine.ComputeTopology;
const bootOf = ({ document }: LinuxSandbox) => document.VirtualMachine.Chipset.LinuxKernelDirect;
const noBoolean: readonly Row[] = ['"yes"', "1"].map((toml) => [toml, new Error("expected a boolean")]);
const noString: readonly Row[] = ["1", "true"].map((toml) => [toml, new Error("expected a string")]);
const noNumber: readonly Row[] = [
  ["-1", new Error("got -1, expected a whole number from 0")],
  ["1.5", new Error("got 1.5, expected a whole number from 0")],
  ['"1"', new Error("expected a number")],
];

/** The option has no effect, and the sandbox warns about it. */
function withoutEffect(
  name: string,
  valid: string,
  boundary: string,
  invalid: readonly Row[],
  reason = "",
): OptionRows {
  const warnings = [`option ${name} has no effect on Linux sandboxes${reason}`];
  return {
    name,
    effect: warningsOf,
    default: [],
    valid: [[valid, warnings]],
    boundary: [[boundary, []]],
    invalid,
  };
}

const rows: { readonly [Option in keyof Required<RuntimeOptions>]: OptionRows } = {
  debug: {
    name: "debug",
    effect: setting("logLevel"),
    default: undefined,
    valid: [["true", "debug"]],
    boundary: [["false", undefined]],
    invalid: noBoolean,
  },
  debugType: withoutEffect("debug_type", '"ETW"', "0", [
    ["3", new Error("got 3, expected 0 (NPIPE), 1 (FILE), 2 (ETW)")],
    ['"etw"', new Error('got "etw", expected 0 (NPIPE)')],
  ]),
  registryRoot: withoutEffect("registry_root", '"SOFTWARE"', '""', noString),
  sandboxImage: withoutEffect("sandbox_image", '"pause"', '""', noString),
  sandboxPlatform: {
    name: "sandbox_platform",
    effect: warningsOf,
    default: [],
    valid: [['"linux/amd64"', []]],
    boundary: [
      ['""', []],
      ['"Linux/AMD64"', []],
    ],
    invalid: [
      ['"windows/amd64"', new Error('sandbox_platform: got "windows/amd64", expected linux/amd64')],
      ['"linux/arm64"', new Error("expected linux/amd64")],
      ...noString,
    ],
  },
  sandboxIsolation: {
    name: "sandbox_isolation",
    effect: warningsOf,
    default: [],
    valid: [['"HYPERVISOR"', []]],
    boundary: [
      ["1", []],
      ["0", new Error('sandbox_isolation: got "PROCESS", expected HYPERVISOR: Linux sandboxes are')],
      ["2", new Error("expected 0 (PROCESS), 1 (HYPERVISOR)")],
    ],
    invalid: [['"VM"', new Error("expected 0 (PROCESS), 1 (HYPERVISOR)")]],
  },
  bootFilesRootPath: {
    name: "boot_files_root_path",
    effect: (sandbox) => bootOf(sandbox)?.KernelFilePath,
    default: `${folder}/kernel`,
    valid: [['"/boot"', "/boot/kernel"]],
    boundary: [['""', `${folder}/kernel`]],
    invalid: [
      ['"boot"', new Error('boot_files_root_path: got "boot", expected an absolute path')],
      ['"/none"', new Error('boot_files_root_path: got "/none", expected a folder with boot files')],
      ...noString,
    ],
  },
  vmProcessorCount: {
    name: "vm_processor_count",
    effect: (sandbox) => topology(sandbox).Processor.Count,
    default: 2,
    valid: [["3", 3]],
    boundary: [
      ["0", 2],
      ["1", 1],
      ["8", 8],
      ["9", 8],
      ["2147483647", 8],
    ],
    invalid: noNumber,
  },
  vmMemorySizeInMb: {
    name: "vm_memory_size_in_mb",
    effect: (sandbox) => topology(sandbox).Memory.SizeInMB,
    default: 1024,
    valid: [["2048", 2048]],
    boundary: [
      ["0", 1024],
      ["1", 2],
      ["2147483647", 2147483648],
    ],
    invalid: noNumber,
  },
  GPUVHDPath: {
    name: "GPUVHDPath",
    effect: setting("gpuVhdPath"),
    default: undefined,
    valid: [['"/gpu.vhd"', "/gpu.vhd"]],
    boundary: [['""', undefined]],
    invalid: [['"gpu.vhd"', new Error("GPUVHDPath: got 7 characters, expected an absolute path")], ...noString],
  },
  scaleCpuLimitsToSandbox: withoutEffect(
    "scale_cpu_limits_to_sandbox",
    "true",
    "false",
    noBoolean,
    ": container limits are processor time, whatever the number of processors",
  ),
  defaultContainerScratchSizeInGb: withoutEffect(
    "default_container_scratch_size_in_gb",
    "40",
    "0",
    noNumber,
    ": the snapshotter sets the size of scratch disks",
  ),
  defaultVmScratchSizeInGb: withoutEffect("default_vm_scratch_size_in_gb", "1", "0", noNumber),
  shareScratch: {
    name: "share_scratch",
    effect: setting("shareScratch"),
    default: false,
    valid: [["true", true]],
    boundary: [["false", false]],
    invalid: noBoolean,
  },
  NCProxyAddr: {
    name: "NCProxyAddr",
    effect: warningsOf,
    default: [],
    valid: [['""', []]],
    boundary: [['" "', new Error("pods have no network configuration proxy")]],
    invalid: [['"tcp:1"', new Error("NCProxyAddr: got 5 characters")], ...noString],
  },
  logLevel: {
    name: "log_level",
    effect: setting("logLevel"),
    default: undefined,
    valid: ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"].map((level) => [
      `"${level}"`,
      level,
    ]),
    boundary: [
      ['""', undefined],
      ['"INFO"', "info"],
    ],
    invalid: [['"loud"', new Error('log_level: got "loud", expected one of trace, debug')], ...noString],
  },
  ioRetryTimeoutInSec: {
    name: "io_retry_timeout_in_sec",
    effect: setting("ioRetrySeconds"),
    default: undefined,
    valid: [["5", 5]],
    boundary: [
      ["0", undefined],
      ["2147483647", 2147483647],
    ],
    invalid: noNumber,
  },
  defaultContainerAnnotations: {
    name: "default_container_annotations",
    effect: setting("defaultContainerAnnotations"),
    default: {},
    valid: [['{ "com.example/a" = "b" }', { "com.example/a": "b" }]],
    boundary: [
      ["{}", {}],
      ['{ a = "" }', { a: "" }],
    ],
    invalid: [
      ["{ a = 1 }", new Error("expected a table of strings")],
      ['["a"]', new Error("expected a table of strings")],
      [
        '{ "io.microsoft.virtualmachine.lcow.vpcienabled" = "yes" }',
        new Error('vpcienabled: got "yes", expected one of 1 t T'),
      ],
    ],
  },
  noInheritHostTimezone: withoutEffect("no_inherit_host_timezone", "true", "false", noBoolean),
  scrubLogs: {
    name: "scrub_logs",
    effect: (sandbox) => / -scrub-logs=(\w+)/.exec(bootOf(sandbox)?.KernelCmdLine ?? "")?.[1],
    default: undefined,
    valid: [["true", "true"]],
    boundary: [["false", "false"]],
    invalid: noBoolean,
  },
};

it("has rows of every kind for every field of the message", () => {
  const fields: string[] = [];
  for (const field in new containerd.runhcs.v1.Options()) fields.push(field);
  expect(Object.keys(rows).toSorted()).toEqual(fields.toSorted());
  for (const [field, { valid, boundary, invalid }] of Object.entries(rows)) {
    expect(
      [valid, boundary, invalid].every(({ length }) => length > 0),
      field,
    ).toBe(true);
  }
});

describe.each(Object.values(rows))("$name", ({ name, effect, default: byDefault, valid, boundary, invalid }) => {
  it("has its default", async () => expect(effect(await sandboxWith(""))).toEqual(byDefault));

  it.each([...valid, ...boundary, ...invalid])("%s", async (toml, expected) => {
    const sandbox = sandboxWith(`${name} = ${toml}`);
    if (expected instanceof Error) await expect(sandbox).rejects.toThrow(expected.message);
    else expect(effect(await sandbox)).toEqual(expected);
  });
});

it("annotations that sandboxes leave to containers are exactly those that containers read", () => {
  // Of the pod as a whole, a sandbox refuses it already.
  const refused = "io.microsoft.cri.virtual-pod-id";
  const read = containerAnnotationKeys.filter((key) => !key.startsWith("io.kubernetes.") && key !== refused);
  expect(leftToContainers.toSorted()).toEqual(read.toSorted());
});
