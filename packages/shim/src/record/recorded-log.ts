import { currentObservation } from "@uvm-shim/lifecycle";
import { escaped } from "../plain-text.ts";
import type { LogLevel } from "../platform.ts";
import type { ShimLog } from "../system/system.ts";
import type { LogLine } from "./lines.ts";
import type { Recorder } from "./recorder.ts";

/** By these names guests give the id by which their lines are matched with the shim's. */
const guestActivity = ["activityID", "ActivityId", "activity"];

/** A log whose lines are recorded too, and name the activity that they belong to. */
export class RecordedLog implements ShimLog {
  readonly #log: ShimLog;
  readonly #recorder: Recorder;
  readonly #source: LogLine["source"];

  constructor(log: ShimLog, recorder: Recorder, source: LogLine["source"] = "shim") {
    this.#log = log;
    this.#recorder = recorder;
    this.#source = source;
  }

  /** The same log, for lines from or about the guest. */
  get ofGuest(): ShimLog {
    return new RecordedLog(this.#log, this.#recorder, "guest");
  }

  log(level: LogLevel, message: string, fields: { readonly [key: string]: unknown } = {}): void {
    if (!this.isLogged(level)) return;
    const activityId = this.#activity(fields);
    this.#recorder.logged({ source: this.#source, level, message, fields, activityId });
    const isNew = this.#source === "shim" && activityId !== undefined;
    this.#log.log(level, message, isNew ? { ...fields, activity: activityId } : fields);
  }

  /** What a guest says has come over a connection that an earlier activity opened. */
  #activity(fields: { readonly [key: string]: unknown }): string | undefined {
    if (this.#source === "shim") return this.#recorder.activityOf(currentObservation());
    const named = guestActivity.map((name) => fields[name]).find((value) => typeof value === "string");
    return named === undefined ? undefined : escaped(String(named).slice(0, 64));
  }

  get queuedBytes(): number {
    return this.#log.queuedBytes;
  }

  isLogged(level: LogLevel): boolean {
    return this.#log.isLogged(level);
  }

  setLevel(level: LogLevel): void {
    this.#log.setLevel(level);
  }

  close(): void {
    this.#log.close();
  }
}
