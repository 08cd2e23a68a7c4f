/** Stacks and states of all processes of the guest, to diagnose one that hangs. */
import { readdirSync, readFileSync } from "node:fs";

/** Limits an answer, since a guest may run any number of processes. */
const mostCharacters = 256 * 1024;

/** What the kernel reports of a process. */
export interface ProcessStanding {
  readonly pid: number;
  readonly name: string;
  readonly state: string;
  /** The kernel function that it waits in, or 0. */
  readonly waitsIn: string;
  /** Its kernel stack; empty if the kernel does not show it. */
  readonly stack: string;
}

/**
 * The agent's own stack and pending resources, then each process of the guest with its state, the kernel function that it
 * waits in, and its kernel stack if the kernel shows it.
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

/** Reads each process only when it is requested. */
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

/** The processes of a pid namespace, by a mount of its /proc. */
export function pidsIn(proc: string): readonly number[] {
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

// Processes end meanwhile, and not every kernel shows everything.
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
