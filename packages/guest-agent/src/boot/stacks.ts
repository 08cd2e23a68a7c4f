/** Where everything in the guest stands, for somebody who looks into one that hangs. */
import { readdirSync, readFileSync } from "node:fs";

/** What an answer may hold; a guest may run any number of processes. */
const mostCharacters = 256 * 1024;

/** What the kernel tells of a process that waits, or does not. */
export interface ProcessStanding {
  readonly pid: number;
  readonly name: string;
  readonly state: string;
  /** The function of the kernel that it waits in, or 0. */
  readonly waitsIn: string;
  /** Its stack in the kernel; empty where the kernel does not tell. */
  readonly stack: string;
}

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
  const processes = [...standings(proc)].map(({ pid, name, state, waitsIn, stack }) => {
    const head = `process ${pid} (${name}), ${state}, waits in ${waitsIn || "?"}`;
    return stack === "" ? head : `${head}\n${stack}`;
  });
  return [agent, ...processes].join("\n\n").slice(0, mostCharacters);
}

/** Each process of the guest, looked at when it is its turn. */
export function* standings(proc = "/proc"): Generator<ProcessStanding> {
  for (const pid of pidsIn(proc)) {
    const status = read(`${proc}/${pid}/status`);
    if (status === "") continue;
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
    yield {
      pid,
      name: field("Name"),
      state: field("State"),
      waitsIn: read(`${proc}/${pid}/wchan`),
      stack: read(`${proc}/${pid}/stack`).trimEnd(),
    };
  }
}

export function pidsIn(proc: string): readonly number[] {
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

// Processes end while they are looked at, and not every kernel tells everything.
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
