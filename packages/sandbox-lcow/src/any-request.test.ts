/** Requests in any combination. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { type AnnotationName, keyOf } from "./annotations/annotations.ts";
import { buildLinuxSandbox, type RuntimeOptions, SandboxError } from "./index.ts";
import { host, windowsHost } from "./testing/sandbox.ts";

/** Valid values of annotations, so that combinations get far. */
const meaningful: { readonly [Name in AnnotationName]?: readonly string[] } = {
  kernelDirectBoot: ["true", "false"],
  preferredRootFs: ["vhd", "initrd"],
  consolePipe: ["\\\\.\\pipe\\a"],
  dmVerityMode: ["1"],
  dmVerityCreateArgs: ["table"],
  securityPolicy: ["e30="],
  noSecurityHardware: ["true", "false"],
  extraVsockPorts: ["1,2,3"],
  hclEnabled: ["true"],
  liveMigration: ["true"],
  cpuGroup: ["12345678-1234-5678-1234-567812345678"],
  resourcePartition: ["12345678-1234-5678-1234-567812345678"],
  fullyPhysicallyBacked: ["true"],
  allowOvercommit: ["true", "false"],
  deferredCommit: ["true"],
  coldDiscardHint: ["true"],
  processorCount: ["0", "2", "99"],
  memorySize: ["1", "1024"],
  numaProcessorsPerNode: ["0", "2"],
  numaMemoryPerNode: ["0", "512"],
  numaPreferredNodes: ["0", "64"],
  numaMappedNodes: ["0", "0,1", "255,255"],
  numaProcessors: ["2", "1,1"],
  numaMemoryBlocks: ["1024", "512,512"],
  vpmemCount: ["0", "4"],
  writableOverlays: ["true"],
  disableUnsafeOperations: ["true", "false"],
  noWritableFileShares: ["true", "false"],
};

const annotation = fc.oneof(
  fc
    .constantFrom(...(Object.keys(meaningful) as AnnotationName[]))
    .chain((name) => fc.constantFrom(...(meaningful[name] ?? [])).map((value) => [keyOf(name), value] as const)),
  fc.tuple(fc.constantFrom(...(Object.keys(meaningful) as AnnotationName[])).map(keyOf), fc.string()),
);

const options: fc.Arbitrary<RuntimeOptions> = fc.record(
  {
    sandboxPlatform: fc.constantFrom("", "linux/amd64", "linux/arm64"),
    sandboxIsolation: fc.constantFrom("PROCESS", "HYPERVISOR"),
    bootFilesRootPath: fc.constantFrom("", "/boot", "C:\\boot"),
    vmProcessorCount: fc.integer(),
    vmMemorySizeInMb: fc.integer(),
    logLevel: fc.constantFrom("", "info", "loud"),
    scrubLogs: fc.boolean(),
  },
  { requiredKeys: [] },
);

const facts = fc.record({
  windows: fc.boolean(),
  architecture: fc.constantFrom("amd64" as const, "arm64" as const),
  build: fc.constantFrom(undefined, 17_763, 19_041, 20_348, 22_000, 26_100),
});

it("the same request gives the same document, or is refused with a key and a reason", () => {
  fc.assert(
    fc.property(fc.array(annotation, { maxLength: 8 }), options, facts, (entries, chosen, { windows, ...more }) => {
      const { build, architecture } = more;
      const request = () => ({
        owner: "test",
        bundle: windows ? "C:\\bundle" : "/bundle",
        annotations: Object.freeze(Object.fromEntries(entries)),
        options: Object.freeze(chosen),
        host: (windows ? windowsHost : host)({
          architecture,
          hasFile: () => true,
          ...(build !== undefined && { build }),
        }),
      });
      try {
        expect(buildLinuxSandbox(request())).toEqual(buildLinuxSandbox(request()));
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
