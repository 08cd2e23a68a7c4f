/** The dump of the agent and its guest that SIGUSR1 writes to the log. */
import { readdirSync } from "node:fs";
import type { GuestLog } from "../log.ts";
import { pidsIn, standings } from "./stacks.ts";

/** Limits dumps, since a container that sees the guest's processes may send any number of signals. */
const pauseMs = 10_000;
/** An answer to the host's request for stacks has more. */
const mostProcesses = 64;

/** Writes what the guest is doing to its log, at most once in 10 s. */
export class StateDump {
  readonly #log: Pick<GuestLog, "warning">;
  readonly #now: () => number;
  readonly #proc: string;
  #next = 0;

  constructor(log: Pick<GuestLog, "warning">, now: () => number = () => performance.now(), proc = "/proc") {
    this.#log = log;
    this.#now = now;
    this.#proc = proc;
  }

  /** Does nothing within 10 s of the last dump. */
  write(): void {
    const now = this.#now();
    if (now < this.#next) return;
    this.#next = now + pauseMs;
    this.#log.warning("=== BEGIN state dump ===", { pid: process.pid });
    try {
      this.#describe();
    } catch (error) {
      // When descriptors have run out, for example.
      this.#log.warning("dump: incomplete", { error: String(error) });
    }
    this.#log.warning("=== END state dump ===");
  }

  #describe(): void {
    const { rss, heapUsed, external } = process.memoryUsage();
    this.#log.warning("dump: stack", { stack: new Error("stack").stack });
    this.#log.warning("dump: active resources", countBy(process.getActiveResourcesInfo()));
    this.#log.warning("dump: memory", { rss, heapUsed, external });
    this.#log.warning("dump: descriptors", { open: readdirSync(`${this.#proc}/self/fd`).length });
    let dumped = 0;
    for (const { pid, name, state, waitsIn, stack } of standings(this.#proc)) {
      if (dumped === mostProcesses) break;
      dumped += 1;
      this.#log.warning("dump: process", { process: pid, name, state, waitsIn, ...(stack !== "" && { stack }) });
    }
    const processes = pidsIn(this.#proc).length;
    if (dumped === mostProcesses) this.#log.warning("dump: processes", { processes, dumped });
  }
}

function countBy(kinds: readonly string[]): { readonly [kind: string]: number } {
  const counts: { [kind: string]: number } = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
