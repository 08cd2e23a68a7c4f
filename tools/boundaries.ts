/**
 * Who may import whom: the import column of docs/design.md as data. `uses` lists the workspace packages whose code a
 * room may import; `types` those of which it may take types only; `libraries` the npm packages.
 */
export interface Room {
  readonly uses: readonly string[];
  readonly types?: readonly string[];
  readonly libraries?: readonly string[];
  /** Node modules that the room must not touch, since it does no I/O. */
  readonly noNode?: true;
  /** Only it starts programs: what cannot be started has no streams, and each place that forgets that is a crash. */
  readonly startsPrograms?: true;
}

const controller = ["hcs-schema", "lifecycle"];
const siblings = [
  "controller-vm",
  "controller-network",
  "controller-scsi",
  "controller-plan9",
  "controller-vpci",
  "controller-process",
  "controller-container",
];

export const rooms: Readonly<Record<string, Room>> = {
  "packages/lifecycle": { uses: [], noNode: true },
  "packages/hcs-schema": { uses: [], noNode: true },
  "packages/child-processes": { uses: [], startsPrograms: true },
  "packages/hcs-bindings": { uses: ["hcs-schema", "lifecycle", "child-processes"], libraries: ["koffi"] },
  "packages/gcs-bridge": { uses: ["hcs-schema", "lifecycle"] },
  "packages/guest-lcow": { uses: ["gcs-bridge", "hcs-schema", "lifecycle"] },
  "packages/sandbox-lcow": { uses: ["hcs-schema", "lifecycle"], noNode: true },
  "packages/controller-vm": { uses: [...controller, "controller-scsi", "controller-plan9", "controller-vpci"] },
  "packages/controller-network": { uses: controller },
  "packages/controller-scsi": { uses: controller },
  "packages/controller-plan9": { uses: controller },
  "packages/controller-vpci": { uses: controller },
  "packages/controller-pod": { uses: controller, types: siblings },
  "packages/controller-container": { uses: controller, types: siblings },
  "packages/controller-process": { uses: controller, types: siblings },
  "packages/ttrpc": { uses: ["lifecycle"], libraries: ["protobufjs"] },
  "packages/shim": {
    uses: ["child-processes", "lifecycle", "ttrpc"],
    types: [...siblings, "controller-pod"],
    libraries: ["protobufjs", "@grpc/grpc-js", "smol-toml"],
  },
  "packages/linux-calls": { uses: [], libraries: ["koffi"] },
  "packages/host-emulator": { uses: ["child-processes", "hcs-schema", "gcs-bridge", "lifecycle", "linux-calls"] },
  "packages/guest-agent": { uses: ["child-processes", "gcs-bridge", "hcs-schema", "lifecycle", "linux-calls"] },
  "apps/shim-lcow": {
    uses: [
      "shim",
      "lifecycle",
      "hcs-schema",
      "hcs-bindings",
      "gcs-bridge",
      "guest-lcow",
      "sandbox-lcow",
      ...siblings,
      "controller-pod",
    ],
  },
  "apps/shim-wcow": { uses: ["shim", "lifecycle", "hcs-schema", "hcs-bindings", "gcs-bridge"] },
};

/** Libraries that tests of any room may import. */
export const testLibraries = ["vitest", "fast-check", "esbuild"];

/** What tests of any room may import of ours besides: fakes that are held to the contract of the real thing. */
export const testFakes = ["@uvm-shim/hcs-bindings/testing"];
