import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { connectEmulatedHost, HostError } from "@uvm-shim/hcs-bindings";
import { defaultHostSocket } from "@uvm-shim/host-protocol";
import type { HoldingsScope } from "./holdings.ts";

/** FIFOs are ctr's, which leaves them when it cannot delete the task itself. */
const CTR_FIFOS = "/run/containerd/fifo/";

/** What is made once and stays: the directories that containerd, shims, runtimes and mount(8) share. */
const LASTING = [
  "/run/uvm-shim",
  ...["/run/containerd", "/run/containerd/fifo", "/run/containerd/s"],
  ...["/run/containerd/runc", "/run/containerd/runc/e2e", "/run/crun", "/run/runc", "/run/mount"],
];
/** Records of pods, which are kept of those that failed, for whoever asks why. */
const RECORDS = "/run/uvm-shim/pods";
/** Of the emulated host, in the folder of its socket. */
const LASTING_OF_HOST = ["", "emulator.log", "lock", "vm"];

/** The compute systems of the emulated host, if one is running. */
async function computeSystems(socketPath: string): Promise<readonly string[]> {
  if (!existsSync(socketPath)) return [];
  try {
    const host = await connectEmulatedHost({ socketPath, startOnDemand: false });
    try {
      return (await host.enumerateComputeSystems()).map((system) => system.Id);
    } finally {
      await host.close();
    }
  } catch (error) {
    // It has ended between the look and the call, and its systems with it.
    if (error instanceof HostError && (error.code === "NotFound" || error.code === "Unavailable")) return [];
    throw error;
  }
}

/** Where a shim could leave something, besides the directories of a containerd. */
export function shimScope(directories: readonly string[], hostSocket = defaultHostSocket): HoldingsScope {
  const host = dirname(hostSocket);
  const lasting = new Set([...LASTING, ...LASTING_OF_HOST.map((name) => join(host, name))]);
  // What guests boot from is made by the emulated host for the first of them.
  const prefixes = [CTR_FIFOS, RECORDS, join(host, "image-")];
  return {
    directories: ["/run", ...directories],
    isExpected: (path) => lasting.has(path) || prefixes.some((prefix) => path.startsWith(prefix)),
    isOwn: () => false,
    computeSystems: () => computeSystems(hostSocket),
  };
}
