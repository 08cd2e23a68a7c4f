import type { SandboxSlot } from "./sandbox/sandbox-slot.ts";
import { Creation } from "./task/creation.ts";
import type { TaskTable } from "./task/task-table.ts";

/** What the services have at one instant. */
export interface ServiceFigures {
  readonly pods: number;
  readonly vms: number;
  readonly containers: number;
  readonly processes: number;
}

/** A pod counts until neither its VM runs nor a task is left, a container until it is deleted. */
export function countServed(slot: SandboxSlot, tasks: TaskTable): ServiceFigures {
  let [containers, processes] = [0, 0];
  for (const [, task] of tasks.entries()) {
    if (task instanceof Creation || task.exit !== undefined) continue;
    containers += 1;
    for (const record of task.processes.values()) {
      if (!(record instanceof Creation) && record.process.state === "running") processes += 1;
    }
  }
  return { pods: slot.isAlive || !tasks.isEmpty ? 1 : 0, vms: slot.isAlive ? 1 : 0, containers, processes };
}
