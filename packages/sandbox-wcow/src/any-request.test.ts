/** Requests in any combination. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { type AnnotationName, keyOf } from "./annotations/annotations.ts";
import { buildWindowsSandbox, type RuntimeOptions, SandboxError } from "./index.ts";
import { blockCim, host, windowsLayer } from "./testing/sandbox.ts";

/** Valid values of annotations, so that combinations get far. */
const meaningful: { readonly [Name in AnnotationName]?: readonly string[] } = {
  consolePipe: ["\\\\.\\pipe\\a"],
  securityPolicy: ["e30=", ""],
  isolationType: ["SNP", "VBS"],
  noSecurityHardware: ["true", "false"],
  writableEfi: ["true", "false"],
  debug: ["true"],
  debugFolder: ["C:\\debug"],
  dumpFolder: ["C:\\dumps"],
  guestStateFile: ["own.vmgs"],
  processDumpLocation: ["C:\\dumps"],
  registryValues: ['[{"Key":{"Hive":"Software","Name":"k"},"Name":"n","Type":"DWord","DWordValue":1}]'],
  logForwarding: ["true", "false"],
  logSources: [btoa("{}")],
  cpuGroup: ["12345678-1234-5678-1234-567812345678"],
  resourcePartition: ["12345678-1234-5678-1234-567812345678"],
  fullyPhysicallyBacked: ["true"],
  allowOvercommit: ["true", "false"],
  deferredCommit: ["true"],
  processorCount: ["0", "2", "99"],
  memorySize: ["1", "1024", "2048"],
  numaProcessorsPerNode: ["0", "2"],
  numaMemoryPerNode: ["0", "512"],
  numaPreferredNodes: ["0", "64"],
  numaMappedNodes: ["0", "0,1", "255,255"],
  numaProcessors: ["2", "1,1"],
  numaMemoryBlocks: ["1024", "512,512"],
  disableUnsafeOperations: ["true", "false"],
  noWritableFileShares: ["true", "false"],
};

const names = Object.keys(meaningful) as AnnotationName[];
const annotation = fc.oneof(
  fc
    .constantFrom(...names)
    .chain((name) => fc.constantFrom(...(meaningful[name] ?? [])).map((value) => [keyOf(name), value] as const)),
  fc.tuple(fc.constantFrom(...names).map(keyOf), fc.string()),
);

const options: fc.Arbitrary<RuntimeOptions> = fc.record(
  {
    sandboxPlatform: fc.constantFrom("", "windows/amd64", "linux/arm64"),
    sandboxIsolation: fc.constantFrom("PROCESS", "HYPERVISOR"),
    bootFilesRootPath: fc.constantFrom("", "C:\\boot", "boot"),
    vmProcessorCount: fc.integer(),
    vmMemorySizeInMb: fc.integer(),
    logLevel: fc.constantFrom("", "info", "loud"),
  },
  { requiredKeys: [] },
);

const resources = fc.record(
  {
    memory: fc.record({ limit: fc.constantFrom(0, 1, 2 ** 30, -1, 1.5, "1") }),
    cpu: fc.record({ count: fc.constantFrom(0, 1, 99), maximum: fc.integer() }, { requiredKeys: [] }),
    storage: fc.record({ iops: fc.constantFrom(0, 2 ** 40) }),
  },
  { requiredKeys: [] },
);

const surroundings = fc.record({
  build: fc.constantFrom(undefined, 17_763, 19_041, 20_348, 22_000, 26_100),
  rootfs: fc.constantFrom([windowsLayer], [blockCim], []),
  windows: fc.oneof(fc.record({ resources }), fc.record({ layerFolders: fc.jsonValue(), hyperv: fc.jsonValue() })),
});

it("the same request gives the same document, or is refused with a key and a reason", () => {
  fc.assert(
    fc.property(fc.array(annotation, { maxLength: 8 }), options, surroundings, (entries, chosen, around) => {
      const { build, rootfs, windows } = around;
      const request = () => ({
        ...{ owner: "test", vmId: "pod@vm", bundle: "C:\\bundle", rootfs, specification: { windows } },
        annotations: Object.freeze(Object.fromEntries(entries)),
        options: Object.freeze(chosen),
        host: host({ hasFile: () => true, hasFolder: () => true, ...(build !== undefined && { build }) }),
      });
      try {
        expect(buildWindowsSandbox(request())).toEqual(buildWindowsSandbox(request()));
      } catch (error) {
        expect(error).toBeInstanceOf(SandboxError);
        const { code, key, message } = error as SandboxError;
        expect(message.startsWith(`${key}: `)).toBe(true);
        // The document's check finds only what the host is too old for: other values were refused before.
        if (code === "FailedPrecondition") expect(message).toContain(`build ${build}`);
        else expect(key).not.toMatch(/^VirtualMachine/);
      }
    }),
    { numRuns: 500 },
  );
});
