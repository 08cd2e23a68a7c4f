import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Log } from "./types.ts";

const signal = "SIGUSR2";

/**
 * On SIGUSR2 the shim logs what it holds after a collection: bytes of its heap and beside it, and what keeps its event
 * loop waiting. It tells whether a shim that has served long has grown. Returns what takes the signal away again.
 */
export function reportMemoryOnSignal(host: NodeJS.Process, log: Log): () => void {
  // Windows has no such signal.
  if (host.platform === "win32") return () => {};
  const report = (): void => {
    setFlagsFromString("--expose-gc");
    (runInNewContext("gc") as () => void)();
    const { heapUsed, external, arrayBuffers, rss } = host.memoryUsage();
    const resources: { [kind: string]: number } = {};
    for (const kind of host.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
    log.log("info", "memory", { heapUsed, external, arrayBuffers, rss, resources });
  };
  host.on(signal, report);
  return () => void host.removeListener(signal, report);
}
