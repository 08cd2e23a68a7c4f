import { readdirSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { report } from "node:process";
import { currentObservation } from "@uvm-shim/lifecycle";
import type { Log } from "../platform.ts";
import type { SandboxSlot } from "./sandbox/sandbox-slot.ts";
import { Creation } from "./task/creation.ts";
import type { TaskTable } from "./task/task-table.ts";

/** One line of the state dump. */
export interface StateLine {
  readonly message: string;
  readonly fields: { readonly [key: string]: unknown };
}

interface PendingCall {
  readonly method: string;
  /** In milliseconds of the clock. */
  readonly began: number;
  readonly activityId?: string;
}

/** Calls that the shim has not answered yet. */
export class PendingCalls {
  readonly #milliseconds: () => number;
  /** With the time at which each began, in milliseconds of a time that is never set. */
  readonly #calls = new Map<PendingCall, number>();

  /** The clock may be set while calls wait: how long they have waited, another time tells. */
  constructor(milliseconds: () => number = () => performance.now()) {
    this.#milliseconds = milliseconds;
  }

  get size(): number {
    return this.#calls.size;
  }

  async during<T>(method: string, began: number, call: () => Promise<T>): Promise<T> {
    const activityId = currentObservation()?.activityId;
    const entry = { method, began, ...(activityId !== undefined && { activityId }) };
    this.#calls.set(entry, this.#milliseconds());
    try {
      return await call();
    } finally {
      this.#calls.delete(entry);
    }
  }

  pending(): readonly (PendingCall & { readonly milliseconds: number })[] {
    const now = this.#milliseconds();
    return [...this.#calls].map(([call, since]) => ({ ...call, milliseconds: Math.round(now - since) }));
  }

  describe(): readonly StateLine[] {
    return this.pending().map(({ method, milliseconds }) => ({
      message: "dump: pending call",
      fields: { method, milliseconds },
    }));
  }
}

/** The sandbox as the dump of a signal has it. */
export function describeSandbox({ present, isAlive, isStopping }: SandboxSlot): StateLine {
  const message = "dump: sandbox";
  if (present === undefined) return { message, fields: { state: isAlive ? "being created" : "none" } };
  const { sandbox, mode, exit } = present;
  const { id, pid, isReady } = sandbox;
  const state = isStopping ? `${sandbox.state}, stopping` : sandbox.state;
  return { message, fields: { sandbox: id, mode, state, ready: isReady, pid, exit: exit?.status } };
}

/** A line for each task, and one for each process in it. */
export function describeTasks(tasks: TaskTable): readonly StateLine[] {
  const message = "dump: task";
  return [...tasks.entries()].flatMap(([task, entry]) => {
    if (entry instanceof Creation) return [{ message, fields: { task, state: "being created" } }];
    const { container, exit } = entry;
    const processes = [...entry.processes].map(([exec, record]): StateLine => {
      const fields =
        record instanceof Creation
          ? { state: "being created" }
          : { state: record.process.state, pid: record.process.pid, exit: record.process.exit?.status };
      return { message: "dump: process", fields: { task, ...(exec !== "" && { exec }), ...fields } };
    });
    const state = exit === undefined ? (container.isPaused ? "paused" : "present") : "deleted";
    return [{ message, fields: { task, state, processes: processes.length } }, ...processes];
  });
}

interface Report {
  readonly javascriptStack: { readonly stack: readonly string[] };
  readonly libuv: readonly { readonly type: string; readonly is_active: boolean }[];
  readonly userLimits: { readonly open_files: { readonly soft: number | string; readonly hard: number | string } };
}

/** The state of Node itself. */
export function describeRuntime(): readonly StateLine[] {
  // The environment may hold secrets, and resolving peers' names would query the network.
  Object.assign(report, { excludeEnv: true, excludeNetwork: true });
  const { javascriptStack, libuv, userLimits } = report.getReport() as unknown as Report;
  const { heapUsed, external, rss } = process.memoryUsage();
  const { utilization } = performance.eventLoopUtilization();
  return [
    { message: "dump: stack", fields: { stack: javascriptStack.stack.join("\n") } },
    {
      message: "dump: event loop",
      fields: { utilization: utilization.toFixed(4), uptime: process.uptime().toFixed(1) },
    },
    { message: "dump: handles", fields: countBy(libuv.filter((handle) => handle.is_active).map(({ type }) => type)) },
    { message: "dump: active resources", fields: countBy(process.getActiveResourcesInfo()) },
    { message: "dump: descriptors", fields: { open: openDescriptors(), ...userLimits.open_files } },
    { message: "dump: memory", fields: { rss, heapUsed, external } },
  ];
}

/** How often each word occurs. */
export function countBy(kinds: readonly string[]): { readonly [kind: string]: number } {
  const counts: { [kind: string]: number } = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Those of this process; undefined where the system does not list them. */
export function openDescriptors(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}

/** Logs the state of a shim that seems to hang. Returns the lines. */
export function dumpState(log: Log, lines: readonly StateLine[]): readonly StateLine[] {
  const all = [...lines, ...describeRuntime()];
  log.log("warn", "=== BEGIN state dump ===", { pid: process.pid });
  for (const { message, fields } of all) log.log("warn", message, fields);
  log.log("warn", "=== END state dump ===");
  return all;
}
