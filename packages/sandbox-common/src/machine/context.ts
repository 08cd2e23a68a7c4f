import type { SharedValues } from "../annotations/shared-annotations.ts";
import type { HostFacts } from "../host-facts.ts";

/** What every part of a VM's document follows from. */
export interface MachineContext {
  readonly values: SharedValues;
  readonly host: HostFacts;
  /** Logs a warning about a setting without its full effect. */
  readonly warn: (sentence: string) => void;
}
