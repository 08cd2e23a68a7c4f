import { expect, it } from "vitest";
import { build } from "./testing/sandbox.ts";

// What each option does by itself is tested with its decoding, in apps/shim-lcow.

it("a level of the log comes before debugging", () => {
  expect(build({}, { options: { logLevel: "warn", debug: true } }).settings.logLevel).toBe("warn");
});

it("defaults that are written out are as good as nothing", () => {
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
