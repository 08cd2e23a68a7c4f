import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { connectEmulatedHost, defaultHostSocket, HostError } from "@uvm-shim/hcs-bindings";
import type { HoldingsScope } from "./holdings.ts";

/** FIFOs are ctr's, which leaves them when it cannot delete the task itself. */
const CTR_FIFOS = "/run/containerd/fifo/";

const HOST = dirname(defaultHostSocket);

/** What is made once and stays: the directories that containerd, shims, runtimes and mount(8) share. */
const LASTING = new Set([
  ...["/run/containerd", "/run/containerd/fifo", "/run/containerd/s"],
  ...["/run/containerd/runc", "/run/containerd/runc/e2e", "/run/crun", "/run/runc", "/run/mount"],
  ...[HOST, join(HOST, "emulator.log"), join(HOST, "lock"), join(HOST, "vm")],
]);
/** What guests boot from, made by the emulated host for the first of them. */
const HOST_IMAGES = join(HOST, "image-");

/** The compute systems of the emulated host, if one is running. */
async function computeSystems(): Promise<readonly string[]> {
  if (!existsSync(defaultHostSocket)) return [];
  try {
    const host = await connectEmulatedHost({ socketPath: defaultHostSocket, startOnDemand: false });
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
export function shimScope(directories: readonly string[]): HoldingsScope {
  return {
    directories: ["/run", ...directories],
    isExpected: (path) => LASTING.has(path) || [CTR_FIFOS, HOST_IMAGES].some((prefix) => path.startsWith(prefix)),
    isOwn: () => false,
    computeSystems,
  };
}
