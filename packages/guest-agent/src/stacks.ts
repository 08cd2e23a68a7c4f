/** Where everything in the guest stands, for somebody who looks into one that hangs. */
import { readdirSync, readFileSync } from "node:fs";

/** What an answer may hold; a guest may run any number of processes. */
const mostCharacters = 256 * 1024;

/**
 * The agent's own stack and what keeps it waiting, then each process of the guest with its state, what it waits for in
 * the kernel, and its kernel stack where the kernel tells it.
 */
export function dumpStacks(proc = "/proc"): string {
  const agent = [
    "agent:",
    new Error("stack").stack ?? "",
    `waits for: ${process.getActiveResourcesInfo().join(", ")}`,
  ].join("\n");
  const pids = readdirSync(proc).filter((name) => /^\d+$/.test(name));
  const processes = pids.flatMap((pid) => {
    const status = read(`${proc}/${pid}/status`);
    if (status === "") return [];
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
    const stack = read(`${proc}/${pid}/stack`).trimEnd();
    const head = `process ${pid} (${field("Name")}), ${field("State")}, waits in ${read(`${proc}/${pid}/wchan`) || "?"}`;
    return [stack === "" ? head : `${head}\n${stack}`];
  });
  return [agent, ...processes].join("\n\n").slice(0, mostCharacters);
}

// Processes end while they are looked at, and not every kernel tells everything.
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
