/**
 * Who may import whom, as data: `npm run check` fails on an import that is not granted here, and on a grant that nobody
 * uses.
 */
export interface PackageRules {
  /** Packages of the workspace whose code the package may import. */
  readonly uses: readonly string[];
  /** Packages of the workspace of which it may import types only. */
  readonly types?: readonly string[];
  /** Packages of the workspace that its tests may import beside those. */
  readonly tests?: readonly string[];
  /** Packages from npm that it may import. */
  readonly libraries?: readonly string[];
  /** It does no I/O: it must not import modules of Node, but for node:async_hooks, which only carries values along. */
  readonly noNode?: true;
  /** Only it starts programs: what cannot be started has no streams, and each place that forgets that is a crash. */
  readonly startsPrograms?: true;
}

const controller = ["hcs-schema", "lifecycle"];

export const packageRules: Readonly<Record<string, PackageRules>> = {
  "packages/lifecycle": { uses: [], noNode: true },
  "packages/hcs-schema": { uses: [], noNode: true },
  "packages/host-protocol": { uses: ["hcs-schema"], noNode: true },
  "packages/command-line": { uses: [], noNode: true },
  "packages/child-processes": { uses: [], startsPrograms: true },
  "packages/hcs-bindings": {
    uses: ["hcs-schema", "host-protocol", "lifecycle", "child-processes"],
    libraries: ["koffi"],
  },
  "packages/gcs-bridge": { uses: ["hcs-schema", "lifecycle"] },
  "packages/guest-lcow": { uses: ["gcs-bridge", "hcs-schema", "lifecycle"] },
  "packages/sandbox-wcow": { uses: ["hcs-schema", "sandbox-common"], noNode: true },
  "packages/guest-wcow": { uses: ["gcs-bridge", "hcs-schema"] },
  "packages/sandbox-common": { uses: ["hcs-schema"], types: ["lifecycle"], noNode: true },
  "packages/sandbox-lcow": { uses: ["hcs-schema", "sandbox-common"], noNode: true },
  "packages/controller-vm": {
    uses: controller,
    tests: ["controller-scsi", "controller-plan9", "controller-vpci", "controller-vsmb"],
  },
  "packages/controller-network": { uses: controller },
  "packages/controller-scsi": { uses: controller },
  "packages/controller-plan9": { uses: controller },
  "packages/controller-vpci": { uses: controller },
  "packages/controller-vsmb": { uses: controller },
  "packages/controller-pod": { uses: ["lifecycle"], types: ["controller-vm"] },
  "packages/container-common": { uses: controller, types: ["controller-process"] },
  "packages/controller-container": { uses: [...controller, "container-common"], types: ["controller-process"] },
  "packages/controller-container-wcow": {
    uses: [...controller, "container-common", "sandbox-common", "sandbox-wcow"],
    types: ["controller-process"],
  },
  "packages/controller-process": { uses: controller },
  "packages/protobuf": { uses: [], libraries: ["protobufjs"], noNode: true },
  "packages/ttrpc": { uses: ["lifecycle", "protobuf"] },
  "packages/shim": {
    uses: ["child-processes", "command-line", "lifecycle", "protobuf", "ttrpc"],
    libraries: ["smol-toml"],
  },
  "packages/linux-calls": { uses: [], libraries: ["koffi"] },
  "packages/vhost-vsock": { uses: ["host-protocol", "lifecycle", "linux-calls"] },
  "packages/telemetry": {
    uses: [],
    types: ["lifecycle"],
    tests: ["lifecycle"],
    libraries: [
      "@opentelemetry/api",
      "@opentelemetry/core",
      "@opentelemetry/exporter-metrics-otlp-http",
      "@opentelemetry/exporter-metrics-otlp-proto",
      "@opentelemetry/exporter-trace-otlp-http",
      "@opentelemetry/exporter-trace-otlp-proto",
      "@opentelemetry/resources",
      "@opentelemetry/sdk-metrics",
      "@opentelemetry/sdk-trace",
    ],
  },
  "packages/grpc-server": { uses: [], libraries: ["@grpc/grpc-js"] },
  "packages/host-emulator": {
    uses: ["child-processes", "command-line", "hcs-schema", "host-protocol", "lifecycle", "linux-calls", "vhost-vsock"],
    tests: ["gcs-bridge"],
  },
  "packages/guest-agent-common": {
    uses: ["child-processes", "gcs-bridge", "hcs-schema", "host-protocol", "lifecycle", "linux-calls"],
  },
  "packages/guest-agent": {
    uses: ["gcs-bridge", "guest-agent-common", "hcs-schema", "host-protocol", "lifecycle", "linux-calls"],
  },
  "packages/guest-agent-windows": {
    uses: [
      "child-processes",
      "gcs-bridge",
      "guest-agent-common",
      "hcs-schema",
      "host-protocol",
      "lifecycle",
      "linux-calls",
    ],
    tests: ["guest-wcow"],
  },
  "packages/test-support": { uses: [] },
  "packages/platform-common": {
    uses: ["hcs-bindings", "host-protocol", "lifecycle", "shim"],
    types: ["controller-network", "controller-process", "hcs-schema", "sandbox-common"],
  },
  "apps/shim-lcow": {
    uses: [
      "platform-common",
      "shim",
      "lifecycle",
      "guest-lcow",
      "sandbox-lcow",
      "controller-vm",
      "controller-network",
      "controller-scsi",
      "controller-plan9",
      "controller-vpci",
      "controller-process",
      "controller-container",
      "controller-pod",
    ],
    types: ["hcs-schema", "hcs-bindings"],
    tests: ["host-protocol", "hcs-bindings"],
  },
  "apps/shim-wcow": {
    uses: [
      "platform-common",
      "shim",
      "lifecycle",
      "hcs-schema",
      "guest-wcow",
      "sandbox-wcow",
      "controller-vm",
      "controller-network",
      "controller-scsi",
      "controller-vsmb",
      "controller-vpci",
      "controller-process",
      "controller-container-wcow",
      "controller-pod",
    ],
    types: ["hcs-bindings"],
    tests: ["guest-agent-windows", "host-protocol", "hcs-bindings"],
  },
  "apps/uvm-diag": { uses: ["child-processes", "command-line", "shim", "ttrpc"] },
};

/** Libraries that tests of any package may import. */
export const testLibraries = ["vitest", "fast-check", "esbuild"];

/**
 * What tests of any package may import of ours besides: fakes that are held to the contract of the real thing, and
 * packages that are for tests alone, whole.
 */
export const testFakes = ["@uvm-shim/hcs-bindings/testing"];
export const testPackages = ["test-support"];
