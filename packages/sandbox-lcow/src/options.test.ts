import { expect, it } from "vitest";
import { build } from "./testing/sandbox.ts";

// Single options are tested with their decoding, in apps/shim-lcow.

it("log_level overrides debug", () => {
  expect(build({}, { options: { logLevel: "warn", debug: true } }).settings.logLevel).toBe("warn");
});

it("explicit defaults have no effect", () => {
  const options = {
    debugType: "NPIPE",
    registryRoot: "",
    sandboxImage: "",
    sandboxIsolation: "HYPERVISOR",
    NCProxyAddr: "",
    defaultContainerScratchSizeInGb: 0,
    defaultVmScratchSizeInGb: 0,
    scaleCpuLimitsToSandbox: false,
    noInheritHostTimezone: false,
    ioRetryTimeoutInSec: 0,
  } as const;
  const { document, settings, warnings } = build({}, { options });
  expect({ document, settings, warnings }).toEqual({
    document: build().document,
    settings: build().settings,
    warnings: [],
  });
});
