import { describe, expect, it } from "vitest";
import { build, refusal } from "./testing/sandbox.ts";

const withOptions = (options: NonNullable<Parameters<typeof build>[1]>["options"]) =>
  build({}, options === undefined ? {} : { options });

describe("options beside the document", () => {
  it.each([
    [{ logLevel: "warn", debug: true }, { logLevel: "warn" }],
    [{ debug: true }, { logLevel: "debug" }],
    [{ debug: false, logLevel: "" }, { logLevel: undefined }],
    [{ GPUVHDPath: "C:\\gpu.vhd" }, { gpuVhdPath: "C:\\gpu.vhd" }],
    [{ GPUVHDPath: "" }, { gpuVhdPath: undefined }],
    [{ scaleCpuLimitsToSandbox: true }, { scaleCpuLimits: true }],
    [{ defaultContainerScratchSizeInGb: 40 }, { containerScratchGb: 40 }],
    [{ defaultContainerScratchSizeInGb: 0 }, { containerScratchGb: undefined }],
    [{ shareScratch: true }, { shareScratch: true }],
    [{ ioRetryTimeoutInSec: 2 ** 31 - 1 }, { ioRetrySeconds: 2 ** 31 - 1 }],
    [{ ioRetryTimeoutInSec: 0 }, { ioRetrySeconds: 0 }],
    [{ defaultContainerAnnotations: { a: "b" } }, { defaultContainerAnnotations: { a: "b" } }],
  ])("%j", (options, settings) => {
    const built = withOptions(options);
    expect(built.settings).toMatchObject(settings);
    expect(built.warnings).toEqual([]);
  });

  it.each([
    [{ debugType: "ETW" }, "debug_type"],
    [{ registryRoot: "SOFTWARE\\x" }, "registry_root"],
    [{ sandboxImage: "pause:3" }, "sandbox_image"],
    [{ defaultVmScratchSizeInGb: 1 }, "default_vm_scratch_size_in_gb"],
    [{ noInheritHostTimezone: true }, "no_inherit_host_timezone"],
  ] as const)("%j have no effect, and say so", (options, field) => {
    expect(withOptions(options).warnings).toEqual([`option ${field} has no effect on Linux sandboxes`]);
  });

  it("are silent about defaults", () => {
    const options = {
      debugType: "NPIPE",
      registryRoot: "",
      sandboxImage: "",
      sandboxIsolation: "HYPERVISOR",
      NCProxyAddr: "",
      defaultVmScratchSizeInGb: 0,
      noInheritHostTimezone: false,
    } as const;
    expect(withOptions(options)).toMatchObject({ warnings: [], document: build().document });
  });

  it.each([
    [{ sandboxIsolation: "PROCESS" }, "sandbox_isolation", "InvalidArgument", "HYPERVISOR: Linux sandboxes are"],
    [{ NCProxyAddr: "tcp:1" }, "NCProxyAddr", "Unimplemented", "no network configuration proxy"],
    [{ defaultContainerScratchSizeInGb: -1 }, "default_container_scratch_size_in_gb", "InvalidArgument", "got -1"],
    [{ defaultVmScratchSizeInGb: -1 }, "default_vm_scratch_size_in_gb", "InvalidArgument", "got -1"],
    [{ ioRetryTimeoutInSec: -1 }, "io_retry_timeout_in_sec", "InvalidArgument", "a whole number from 0"],
  ] as const)("%j are refused", (options, key, code, message) => {
    expect(() => withOptions(options)).toThrow(expect.objectContaining(refusal(key, code)));
    expect(() => withOptions(options)).toThrow(message);
  });
});
