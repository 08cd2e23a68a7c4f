import type { Clock } from "@uvm-shim/lifecycle";
import type { Log, Platform } from "../../platform.ts";
import type { Records } from "../../record/ring.ts";
import type { EventForwarder } from "../events/events.ts";
import type { SandboxSlot } from "../sandbox/sandbox-slot.ts";
import type { PendingCalls, StateLine } from "../state-dump.ts";
import type { TaskTable } from "../task/task-table.ts";
import type { Watch } from "./watch.ts";

/** What the diagnostic services look at. */
export interface DiagnosticParts {
  readonly shim: {
    readonly name: string;
    readonly version: string;
    readonly id: string;
    readonly namespace: string;
    readonly bundle: string;
    readonly pid: number;
  };
  readonly slot: SandboxSlot;
  readonly tasks: TaskTable;
  readonly calls: PendingCalls;
  readonly events: Pick<EventForwarder, "describe">;
  readonly watch: Watch;
  /** Absent where nothing is recorded. */
  readonly records?: Records;
  /** Undefined until it is loaded. */
  readonly platform: () => Platform | undefined;
  readonly describe: () => readonly StateLine[];
  readonly log: Log;
  readonly clock: Clock;
}
