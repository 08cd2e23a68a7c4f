import { ControllerError } from "./error.ts";
import { reportStateChange, type StateChange } from "./observation/observation.ts";

/**
 * One row of a transition table. An operation is requested by a caller; an event happens by itself. `failure` is the
 * state after a failed operation; an event cannot fail.
 */
export type Transition<State extends string, Operation extends string> =
  | {
      readonly kind: "operation";
      readonly name: Operation;
      readonly from: readonly State[];
      readonly success: State;
      readonly failure: State | "unchanged";
    }
  | { readonly kind: "event"; readonly name: Operation; readonly from: readonly State[]; readonly to: State };

/** The states of a kind of object and every way from one to another, as data; `defineTable` checks it. */
export interface TransitionTable<State extends string, Operation extends string> {
  /** Name of the kind of object, for messages and diagrams. */
  readonly subject: string;
  readonly initial: State;
  readonly states: readonly State[];
  readonly transitions: readonly Transition<State, Operation>[];
}

/** A state of a lifecycle; states form a union discriminated by `kind`, each with its own data. */
export interface StateData<State extends string> {
  readonly kind: State;
}

/** Checks a table when it is defined: unknown states, unreachable states and ambiguous rows throw. */
export function defineTable<State extends string, Operation extends string>(
  table: TransitionTable<State, Operation>,
): TransitionTable<State, Operation> {
  const known = new Set(table.states);
  if (!known.has(table.initial)) throw new Error(`${table.subject}: unknown initial state ${table.initial}`);
  const seen = new Set<string>();
  for (const row of table.transitions) {
    for (const state of [...row.from, ...targetsOf(row)]) {
      if (!known.has(state)) throw new Error(`${table.subject}: unknown state ${state} in transition ${row.name}`);
    }
    for (const from of row.from) {
      const key = `${row.name} from ${from}`;
      if (seen.has(key)) throw new Error(`${table.subject}: two transitions for ${key}`);
      seen.add(key);
    }
  }
  const reachable = reachableStates(table);
  for (const state of table.states) {
    if (!reachable.has(state)) throw new Error(`${table.subject}: no transition reaches state ${state}`);
  }
  return table;
}

function reachableStates<State extends string, Operation extends string>(
  table: TransitionTable<State, Operation>,
): ReadonlySet<State> {
  // A set visits what is added to it while it is iterated, so this walks the whole graph.
  const reached = new Set([table.initial]);
  for (const state of reached) {
    for (const row of table.transitions) {
      if (row.from.includes(state)) for (const target of targetsOf(row)) reached.add(target);
    }
  }
  return reached;
}

function targetsOf<State extends string, Operation extends string>(row: Transition<State, Operation>): State[] {
  if (row.kind === "event") return [row.to];
  return row.failure === "unchanged" ? [row.success] : [row.success, row.failure];
}

/**
 * The current state of one object with a transition table. It does not run operations; it refuses transitions that the
 * table does not allow.
 */
export class Lifecycle<Data extends StateData<State>, State extends string, Operation extends string> {
  readonly #table: TransitionTable<State, Operation>;
  readonly #id: string;
  #state: Data;

  constructor(table: TransitionTable<State, Operation>, id: string, initial: Data) {
    if (initial.kind !== table.initial) {
      throw new Error(`${table.subject} ${id}: initial state ${initial.kind}, expected ${table.initial}`);
    }
    this.#table = table;
    this.#id = id;
    this.#state = initial;
  }

  get state(): Data {
    return this.#state;
  }

  allows(name: Operation): boolean {
    return this.#row(name) !== undefined;
  }

  /** FailedPrecondition with operation, state and id unless the table has a row for it. */
  require(name: Operation): void {
    if (this.#row(name) !== undefined) return;
    const from = this.#table.transitions.filter((row) => row.name === name).flatMap((row) => row.from);
    throw new ControllerError(
      "FailedPrecondition",
      `not possible in state ${this.#state.kind}, only in ${[...new Set(from)].join(", ")}`,
      { operation: `${name} ${this.#table.subject}`, id: this.#id },
    );
  }

  /** Enters the state after the operation's success. */
  succeed(name: Operation, next: Data): void {
    const row = this.#checked(name, "operation");
    this.#enter(name, row.kind === "operation" ? [row.success] : [], next, "success");
  }

  /** Enters the state after the operation's failure. */
  fail(name: Operation, next: Data): void {
    const row = this.#checked(name, "operation");
    if (row.kind !== "operation") return;
    this.#enter(name, [row.failure === "unchanged" ? this.#state.kind : row.failure], next, "failure");
  }

  /** Enters the state after an event; false, without a change, if the table has no row for it in this state. */
  happen(name: Operation, next: Data): boolean {
    const row = this.#row(name);
    if (row?.kind !== "event") return false;
    this.#enter(name, [row.to], next, "event");
    return true;
  }

  #row(name: Operation): Transition<State, Operation> | undefined {
    return this.#table.transitions.find((row) => row.name === name && row.from.includes(this.#state.kind));
  }

  #checked(name: Operation, kind: "operation" | "event"): Transition<State, Operation> {
    this.require(name);
    const row = this.#row(name);
    if (row === undefined || row.kind !== kind) {
      throw new Error(`${this.#table.subject} ${this.#id}: ${name} is not an ${kind} in state ${this.#state.kind}`);
    }
    return row;
  }

  #enter(name: Operation, allowed: readonly State[], next: Data, outcome: StateChange["outcome"]): void {
    if (!allowed.includes(next.kind)) {
      throw new Error(
        `${this.#table.subject} ${this.#id}: ${name} from ${this.#state.kind} cannot lead to ${next.kind}, expected ${allowed.join(" or ")}`,
      );
    }
    const from = this.#state.kind;
    this.#state = next;
    reportStateChange({ subject: this.#table.subject, id: this.#id, operation: name, from, to: next.kind, outcome });
  }
}

/** The table as a Mermaid state diagram, for the package's README. */
export function diagram<State extends string, Operation extends string>(
  table: TransitionTable<State, Operation>,
): string {
  const lines = ["stateDiagram-v2", `  [*] --> ${table.initial}`];
  for (const row of table.transitions) {
    for (const from of row.from) {
      if (row.kind === "event") lines.push(`  ${from} --> ${row.to}: ${row.name} (event)`);
      else {
        lines.push(`  ${from} --> ${row.success}: ${row.name}`);
        if (row.failure !== "unchanged" && row.failure !== row.success) {
          lines.push(`  ${from} --> ${row.failure}: ${row.name} failed`);
        }
      }
    }
  }
  return lines.join("\n");
}
