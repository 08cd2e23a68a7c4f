/** Runtime options and annotations of a sandbox, from containerd's configuration to the VM. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "@uvm-shim/test-support/command";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, runContainer } from "./ctr.ts";

const VM = "io.microsoft.virtualmachine.";

async function runWithOptions(context: CaseContext, options: string, flags: readonly string[] = []) {
  const id = context.newId("options");
  const file = join(context.scratch, `${id}.toml`);
  writeFileSync(file, options);
  return await runContainer(context, { id, flags: ["--runtime-config-path", file, ...flags], command: ["echo", "up"] });
}

/** Only a VM of one processor and 512 MB, which is what no VM gets by default, adds up to the NUMA node asked for. */
async function optionsReachTheVm(context: CaseContext): Promise<void> {
  const options = (processors: number, megabytes: number): string => `
    SandboxPlatform = "linux/amd64"
    vm_processor_count = ${processors}
    VmMemorySizeInMb = ${megabytes}
    LogLevel = "debug"
    [DefaultContainerAnnotations]
    "${VM}fullyphysicallybacked" = "true"
    "${VM}computetopology.numa.mapped-physical-nodes" = "0"
    "${VM}computetopology.numa.count-of-processors" = "1"
    "${VM}computetopology.numa.count-of-memory-blocks" = "512"
  `;
  const result = await runWithOptions(context, options(1, 512));
  assertStatus(result, 0);
  assert.equal(result.stdout.toString(), "up\n");
  const other = await runWithOptions(context, options(1, 256));
  assert.notEqual(other.status, 0, describe(other));
  assert.match(other.stderr, /count-of-memory-blocks: got \[512\], expected a sum of 256, the VM's memory in MB/);
}

async function optionsAreRefused(context: CaseContext): Promise<void> {
  for (const [options, message] of [
    ["VmProcessors = 3", /has unknown key \\?"VmProcessors\\?", expected one of debug/],
    ['SandboxPlatform = "windows/amd64"', /sandbox_platform: got \\?"windows\/amd64\\?", expected linux\/amd64/],
    ["SandboxIsolation = 0", /sandbox_isolation: got \\?"PROCESS\\?", expected HYPERVISOR/],
    ['BootFilesRootPath = "/nowhere"', /boot_files_root_path: .* there is no file \/nowhere\/vmlinux/],
    ['GPUVHDPath = "gpu.vhd"', /GPUVHDPath: got 7 characters, expected an absolute path/],
  ] as const) {
    const result = await runWithOptions(context, options);
    assert.notEqual(result.status, 0, describe(result));
    assert.match(result.stderr, message);
  }
}

async function annotationsComeFirst(context: CaseContext): Promise<void> {
  const platform = 'BootFilesRootPath = "/nowhere"';
  const key = `${VM}bootfilesrootpath`;
  const result = await runWithOptions(context, platform, ["--annotation", `${key}=/elsewhere`]);
  assert.notEqual(result.status, 0, describe(result));
  assert.match(result.stderr, /bootfilesrootpath: .* there is no file \/elsewhere\/vmlinux/);
}

async function nodesAddUp(context: CaseContext): Promise<void> {
  const numa = `${VM}computetopology.numa.`;
  const annotations = (blocks: string): readonly string[] =>
    [
      `${VM}fullyphysicallybacked=true`,
      `${VM}computetopology.processor.count=1`,
      `${numa}mapped-physical-nodes=0`,
      `${numa}count-of-processors=1`,
      `${numa}count-of-memory-blocks=${blocks}`,
    ].flatMap((annotation) => ["--annotation", annotation]);
  assertStatus(await runWithOptions(context, "", annotations("1024")), 0);
  const result = await runWithOptions(context, "", annotations("512"));
  assert.notEqual(result.status, 0, describe(result));
  assert.match(result.stderr, /count-of-memory-blocks: got \[512\], expected a sum of 1024, the VM's memory in MB/);
}

/** What the builder makes of it a real host would take; the emulated one says what it has not. */
async function hostsWithout(context: CaseContext): Promise<void> {
  for (const [annotation, message] of [
    [
      `${VM}lcow.kerneldirectboot=false`,
      /VirtualMachine\.Chipset\.Uefi\.BootThis\.VmbFsRootPath: expected none: the emulated host boots Linux by LinuxKernelDirect only/,
    ],
    [`${VM}resource-partition-id=11111111-2222-3333-4444-555555555555`, /resource partition 1111.* does not exist/],
    [`${VM}storage.scratch.encrypted=true`, /scratch disks of this pod are encrypted, expected layers with/],
  ] as const) {
    const result = await runWithOptions(context, "", ["--annotation", annotation]);
    assert.notEqual(result.status, 0, describe(result));
    assert.match(result.stderr, message);
  }
}

const onUtilityVms = (context: CaseContext): boolean => context.runtime.key === "lcow";

export const optionCases: readonly Case[] = [
  { name: "runtime options reach the VM", applies: onUtilityVms, run: optionsReachTheVm },
  { name: "invalid runtime options are named", applies: onUtilityVms, run: optionsAreRefused },
  { name: "an annotation overrides a runtime option", applies: onUtilityVms, run: annotationsComeFirst },
  { name: "NUMA nodes that add up are accepted, others are named", applies: onUtilityVms, run: nodesAddUp },
  { name: "options that the host or the shim does not support are named", applies: onUtilityVms, run: hostsWithout },
];
