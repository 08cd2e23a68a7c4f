import { performance } from "node:perf_hooks";
import type { Clock, Observation, Observer, StateChange } from "@uvm-shim/lifecycle";

/** The last change of one state machine. */
export interface MachineState {
  readonly subject: string;
  readonly id: string;
  readonly state: string;
  readonly since: Date;
  readonly operation: string;
  readonly outcome: StateChange["outcome"];
}

/** Work that has begun and not ended. */
export interface WorkUnderWay {
  readonly observation: Observation;
  readonly since: Date;
  /** How long ago, by a time that is never set. */
  readonly milliseconds: number;
}

const mostMachines = 512;

/** Remembers since when each state machine is in its state, and what is under way. */
export class Watch implements Observer {
  readonly #clock: Clock;
  /** The one that changed last is the last. */
  readonly #machines = new Map<string, MachineState>();
  readonly #work = new Map<Observation, { readonly since: Date; readonly began: number }>();
  readonly #milliseconds: () => number;

  constructor(clock: Clock, milliseconds: () => number = () => performance.now()) {
    this.#clock = clock;
    this.#milliseconds = milliseconds;
  }

  stateChanged({ subject, id, operation, from, to, outcome }: StateChange): void {
    const key = keyOf(subject, id);
    const before = this.#machines.get(key);
    const isUnchanged = before !== undefined && from === to;
    this.#machines.delete(key);
    const since = isUnchanged ? before.since : this.#clock.now();
    this.#machines.set(key, { subject, id, state: to, since, operation, outcome });
    if (this.#machines.size <= mostMachines) return;
    for (const oldest of this.#machines.keys()) {
      this.#machines.delete(oldest);
      return;
    }
  }

  began(observation: Observation): void {
    this.#work.set(observation, { since: this.#clock.now(), began: this.#milliseconds() });
  }

  ended(observation: Observation): void {
    this.#work.delete(observation);
  }

  get machines(): readonly MachineState[] {
    return [...this.#machines.values()];
  }

  get work(): readonly WorkUnderWay[] {
    const now = this.#milliseconds();
    return [...this.#work].map(([observation, { since, began }]) => ({
      ...{ observation, since },
      milliseconds: Math.round(now - began),
    }));
  }

  /** When it entered the state that it is in; undefined if it has been in its first state ever since. */
  since(subject: string, id: string): Date | undefined {
    return this.#machines.get(keyOf(subject, id))?.since;
  }
}

function keyOf(subject: string, id: string): string {
  return `${subject}\0${id}`;
}
