/** The controls of the test host's DLLs, for programs under Wine: its settings and its counts. */
import { win32 } from "node:path";
import { nativeMachine } from "../../packages/hcs-bindings/src/windows/native/koffi-machine.ts";
import type { FunctionTable } from "../../packages/hcs-bindings/src/windows/native/native-types.ts";
import type { TestHostSettings } from "./relay/test-host-settings.ts";

const functions = {
  UvmShimTestHostConfigure: { result: "int32", parameters: ["text"], since: 0 },
  UvmShimTestHostCounts: { result: "int32", parameters: ["pointer"], since: 0, immediate: true },
} as const satisfies FunctionTable;

const systemFunctions = {
  LocalFree: { result: "pointer", parameters: ["pointer"], since: 0, immediate: true },
} as const satisfies FunctionTable;

/** What the DLLs hold, and what was done to them that nobody may do. */
export interface Counts {
  readonly operations: number;
  readonly systems: number;
  readonly processes: number;
  readonly networks: number;
  readonly endpoints: number;
  readonly namespaces: number;
  readonly loadBalancers: number;
  readonly guestNetworkServices: number;
  readonly serviceCallbacks: number;
  /** Result strings that nobody has freed yet. */
  readonly strings: number;
  /** Callbacks that run now. */
  readonly callbacks: number;
  /** Handles of virtual disks. */
  readonly virtualDisks: number;
  /** Handles of the standard streams of processes. */
  readonly standardStreams: number;
  readonly vmmemHandles: number;
  readonly sockets: number;
  /** Open entries of the hvsocket provider. */
  readonly addressEntries: number;
  readonly doubleFrees: number;
  readonly misuses: number;
  readonly lastMisuse: string;
}

export interface TestHostControls {
  configure(settings: TestHostSettings): Promise<void>;
  counts(): Counts;
}

/** Of the DLLs in this folder, as it is called under Wine. */
export function testHostControls(folder: string): TestHostControls {
  const machine = nativeMachine();
  const host = machine.library(win32.join(folder, "testhost.dll"), functions);
  const system = machine.library(win32.join(folder, "system.dll"), systemFunctions);
  return {
    async configure(settings) {
      const hresult = await host.run("UvmShimTestHostConfigure", JSON.stringify(settings));
      if (hresult !== 0) throw new Error(`the test host refuses the settings: ${hresult >>> 0}`);
    },
    counts() {
      const buffer = Buffer.alloc(8);
      host.call("UvmShimTestHostCounts", buffer);
      const address = buffer.readBigUInt64LE();
      const counts = JSON.parse(machine.readText(address)) as Counts;
      system.call("LocalFree", address);
      return counts;
    },
  };
}
