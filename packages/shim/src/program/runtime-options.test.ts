import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ShimError } from "../errors.ts";
import { containerd, runtimeoptions } from "../generated/messages.js";
import { decodeRuntimeOptions } from "./runtime-options.ts";

const { Options } = containerd.runhcs.v1;
const { Options: GenericOptions } = runtimeoptions.v1;

const message = (value: Uint8Array) => decodeRuntimeOptions({ typeUrl: "containerd.runhcs.v1.Options", value });
const generic = (fields: { configPath?: string; configBody?: Uint8Array }) =>
  decodeRuntimeOptions({
    typeUrl: "runtimeoptions.v1.Options",
    value: GenericOptions.encode({ typeUrl: "any", ...fields }).finish(),
  });
const toml = (text: string) => generic({ configBody: Buffer.from(text) });

const every = {
  debug: true,
  debugType: "ETW",
  registryRoot: "root",
  sandboxImage: "pause",
  sandboxPlatform: "linux/amd64",
  sandboxIsolation: "HYPERVISOR",
  bootFilesRootPath: "/boot",
  vmProcessorCount: 3,
  vmMemorySizeInMb: 2048,
  GPUVHDPath: "/gpu.vhd",
  scaleCpuLimitsToSandbox: true,
  defaultContainerScratchSizeInGb: 30,
  defaultVmScratchSizeInGb: 40,
  shareScratch: true,
  NCProxyAddr: "address",
  logLevel: "warn",
  ioRetryTimeoutInSec: 7,
  defaultContainerAnnotations: { a: "1", b: "" },
  noInheritHostTimezone: true,
  scrubLogs: false,
};

describe("the message itself", () => {
  it("yields every field", async () => {
    const value = Options.encode({ ...every, debugType: 2, sandboxIsolation: 1 }).finish();
    expect(await message(value)).toEqual(every);
  });

  it.each(["containerd.runhcs.v1.Options", "types.containerd.io/containerd.runhcs.v1.Options"])(
    "is known as %s",
    async (typeUrl) => {
      const value = Options.encode({ vmProcessorCount: -1 }).finish();
      expect(await decodeRuntimeOptions({ typeUrl, value })).toMatchObject({ vmProcessorCount: -1 });
    },
  );

  it("yields nothing for unset fields, but an explicit zero for the isolation", async () => {
    expect(await message(new Uint8Array())).toEqual({ defaultContainerAnnotations: {} });
    expect(await message(Uint8Array.of(6 << 3, 0))).toMatchObject({ sandboxIsolation: "PROCESS" });
  });

  it.each([
    [Uint8Array.of(2 << 3, 9), "debug_type: got 9, expected 0 (NPIPE), 1 (FILE), 2 (ETW)"],
    [Uint8Array.of(6 << 3, 2), "sandbox_isolation: got 2, expected 0 (PROCESS), 1 (HYPERVISOR)"],
    [Uint8Array.of(0x2a, 9, 1), "runtime options are not a valid containerd.runhcs.v1.Options"],
  ])("%j is refused", async (value, problem) => {
    await expect(message(value)).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(message(value)).rejects.toThrow(problem);
  });

  it("made of any bytes is decoded or rejected", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (value) => {
        const outcome = await message(value).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(ShimError);
        else expect(outcome).toHaveProperty("defaultContainerAnnotations");
      }),
    );
  });
});

describe("the configuration of containerd's CRI plugin", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "options-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("yields every field in Go's spelling, and in protobuf's", async () => {
    const text = `
      Debug = true
      DebugType = 2
      RegistryRoot = "root"
      SandboxImage = "pause"
      SandboxPlatform = "linux/amd64"
      SandboxIsolation = 1
      boot_files_root_path = "/boot"
      vm_processor_count = 3
      VmMemorySizeInMb = 2048
      GPUVHDPath = "/gpu.vhd"
      ScaleCpuLimitsToSandbox = true
      DefaultContainerScratchSizeInGb = 30
      DefaultVmScratchSizeInGb = 40
      ShareScratch = true
      NCProxyAddr = "address"
      LogLevel = "warn"
      io_retry_timeout_in_sec = 7
      NoInheritHostTimezone = true
      ScrubLogs = false
      TypeUrl = "ignored"
      ConfigPath = ""
      [DefaultContainerAnnotations]
      a = "1"
      b = ""
    `;
    expect(await toml(text)).toEqual(every);
  });

  it("may be empty, and may name enumeration values", async () => {
    expect(await generic({})).toEqual({});
    expect(await toml('SandboxIsolation = "PROCESS"')).toEqual({ sandboxIsolation: "PROCESS" });
    expect(await toml("SandboxIsolation = 0")).toEqual({ sandboxIsolation: "PROCESS" });
  });

  it("may be a file", async () => {
    const configPath = path.join(directory, "options.toml");
    await writeFile(configPath, "vm_processor_count = 5");
    expect(await generic({ configPath })).toEqual({ vmProcessorCount: 5 });
  });

  it.each([
    ["VmProcessors = 3", 'config_body has unknown key "VmProcessors", expected one of debug, debugType'],
    ["__proto__ = 3", 'config_body has unknown key "__proto__"'],
    ['VmProcessorCount = "3"', 'VmProcessorCount: got "3", expected a number'],
    ["Debug = 1", "Debug: got 1, expected a boolean"],
    ["LogLevel = true", "LogLevel: got true, expected a string"],
    ["DebugType = 3", "DebugType: got 3, expected 0 (NPIPE)"],
    ["DefaultContainerAnnotations = []", "DefaultContainerAnnotations: got a list, expected a table of strings"],
    ["[DefaultContainerAnnotations]\na = 1", 'got a number as "a", expected a table of strings'],
    ["= 3", "config_body is not valid TOML (line 1"],
  ])("%s is refused", async (text, problem) => {
    await expect(toml(text)).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(toml(text)).rejects.toThrow(problem);
  });

  it("is rejected if its file is missing, too large or named by a relative path", async () => {
    const large = path.join(directory, "large");
    await writeFile(large, Buffer.alloc(1024 * 1024 + 1));
    for (const [configPath, problem] of [
      [path.join(directory, "none"), "ENOENT"],
      ["relative", "expected an absolute path"],
      [large, "it has 1048577 bytes, expected at most 1048576"],
    ] as const) {
      await expect(generic({ configPath })).rejects.toMatchObject({ code: "InvalidArgument" });
      await expect(generic({ configPath })).rejects.toThrow(`config_path ${configPath}: ${problem}`);
    }
  });
});

describe("unreadable options", () => {
  it.each([
    ["a group", Uint8Array.of((99 << 3) | 3, 6, (99 << 3) | 4, 6)],
    ["an unfinished number", Uint8Array.of(8, 0x80)],
    ["a field 0", Uint8Array.of(0, 0)],
  ])("with %s are refused as what they are", async (_, value) => {
    await expect(message(value)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/^runtime options are not a valid containerd\.runhcs\.v1\.Options: /),
    });
  });
});

describe("options of other types", () => {
  it.each(["containerd.runc.v1.Options", "", "Options"])("%j are refused", async (typeUrl) => {
    const decoding = decodeRuntimeOptions({ typeUrl, value: new Uint8Array() });
    await expect(decoding).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(decoding).rejects.toThrow(
      `unknown runtime options type ${JSON.stringify(typeUrl)}: expected containerd.runhcs.v1.Options or`,
    );
  });
});
