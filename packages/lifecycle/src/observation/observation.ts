import { AsyncLocalStorage } from "node:async_hooks";

/**
 * A request is a call of a client; a phase is a step of the shim's own; a host call and a guest request are questions to
 * the host service and to the guest, which may take long.
 */
export type ObservationKind = "request" | "phase" | "host-call" | "guest-request";

/** What observers are told beside a name. Never anything secret: it is logged, recorded and exported. */
export type Attributes = { readonly [name: string]: string | number | boolean };

/** Values of the headers `traceparent` and `tracestate` of W3C Trace Context. */
export interface TraceContext {
  readonly traceParent: string;
  readonly traceState?: string;
}

/** Work under way that has a beginning and an end. */
export interface Observation {
  readonly kind: ObservationKind;
  readonly name: string;
  readonly attributes: Attributes;
  /** GUID by which log lines of shim and guest are matched; the same for everything that one request causes. */
  readonly activityId: string | undefined;
  /** The trace that the request came with. */
  readonly traceParent: string | undefined;
  readonly traceState: string | undefined;
  /** The work that this is a part of. */
  readonly parent: Observation | undefined;
}

/** A change of a lifecycle's state. */
export interface StateChange {
  /** The kind of object, as in its transition table. */
  readonly subject: string;
  readonly id: string;
  readonly operation: string;
  readonly from: string;
  readonly to: string;
  readonly outcome: "success" | "failure" | "event";
}

/** Something that happened at one instant, such as an exit of a guest or a lost connection. */
export interface Occurrence {
  readonly name: string;
  readonly attributes: Attributes;
}

/** Told of everything that is observed, in order. What it throws is ignored: watching must not change what is watched. */
export interface Observer {
  began?(observation: Observation): void;
  /** `error` is what the work threw; undefined if it succeeded. */
  ended?(observation: Observation, error: unknown): void;
  stateChanged?(change: StateChange, within: Observation | undefined): void;
  occurred?(occurrence: Occurrence, within: Observation | undefined): void;
  /** Under which trace others are to report what this work makes them do; undefined if nobody wants to know. */
  traceContextOf?(observation: Observation): TraceContext | undefined;
}

interface Context {
  readonly scope: ObservationScope | undefined;
  readonly observation: Observation | undefined;
}

const processWide = new Set<Observer>();
const current = new AsyncLocalStorage<Context>();

/**
 * Keeps what is observed of one pod apart where one process serves several: what runs in a scope is told to the observers
 * of that scope, and to those of the whole process.
 */
export class ObservationScope {
  readonly #own: Set<Observer> = new Set();
  #joined: ObservationScope | undefined;

  get observers(): Set<Observer> {
    return this.#joined?.observers ?? this.#own;
  }

  /** The scope that this one is a part of, or itself. */
  get whole(): ObservationScope {
    return this.#joined?.whole ?? this;
  }

  /** From now on, what is observed in this scope is told to the observers of the caller's: its work is a part of theirs. */
  joinCaller(): void {
    const scope = current.getStore()?.scope;
    if (scope !== this) this.#joined = scope;
  }

  /** Runs work, and all that it causes, in this scope. */
  run<T>(work: () => T): T {
    return current.run({ scope: this, observation: undefined }, work);
  }
}

/** Observes the scope of the caller; outside of all scopes, the whole process. Returns a function that removes the observer again. */
export function addObserver(observer: Observer): () => void {
  const observers = current.getStore()?.scope?.observers ?? processWide;
  observers.add(observer);
  return () => void observers.delete(observer);
}

/** The scope that the caller's work belongs to; undefined outside of all. */
export function currentScope(): ObservationScope | undefined {
  return current.getStore()?.scope?.whole;
}

/**
 * For the handler of an exception that nobody has caught. Node leaves the context of the failed work in place, and what is
 * in none later would pass for a part of it.
 */
export function leaveFailedContext(): void {
  current.enterWith({ scope: undefined, observation: undefined });
}

function isObserved(): boolean {
  return processWide.size > 0 || (current.getStore()?.scope?.observers.size ?? 0) > 0;
}

/** The innermost work that the caller is a part of; undefined while nobody observes. */
export function currentObservation(): Observation | undefined {
  return current.getStore()?.observation;
}

/** The trace that the work of the caller belongs to, for guests and other services that it asks; undefined if none is kept. */
export function currentTraceContext(): TraceContext | undefined {
  const observation = currentObservation();
  if (observation === undefined) return undefined;
  let found: TraceContext | undefined;
  tell((observer) => {
    found ??= observer.traceContextOf?.(observation);
  });
  return found;
}

/** What is said of work when `observe` begins it; the rest of its `Observation` comes from the work around it. */
export interface ObservedWork {
  readonly kind: ObservationKind;
  readonly name: string;
  readonly attributes?: Attributes;
  /** Taken from the work around it if absent. */
  readonly activityId?: string;
  readonly traceParent?: string;
  readonly traceState?: string;
}

/** Runs work and tells observers of it. Without observers it only runs the work. */
export async function observe<T>(what: ObservedWork, work: () => Promise<T>): Promise<T> {
  if (!isObserved()) return await work();
  const context = current.getStore();
  const parent = context?.observation;
  const observation: Observation = {
    kind: what.kind,
    name: what.name,
    attributes: what.attributes ?? {},
    activityId: what.activityId ?? parent?.activityId,
    traceParent: what.traceParent,
    traceState: what.traceState,
    parent,
  };
  return await current.run({ scope: context?.scope, observation }, async () => {
    tell((observer) => observer.began?.(observation));
    let failure: unknown;
    try {
      return await work();
    } catch (error) {
      failure = error ?? new Error("failed without an error");
      throw error;
    } finally {
      tell((observer) => observer.ended?.(observation, failure));
    }
  });
}

/** Tells observers of something that happened at one instant. */
export function reportOccurrence(name: string, attributes: Attributes = {}): void {
  if (!isObserved()) return;
  const occurrence = { name, attributes };
  const within = currentObservation();
  tell((observer) => observer.occurred?.(occurrence, within));
}

/** Called by `Lifecycle`. */
export function reportStateChange(change: StateChange): void {
  if (!isObserved()) return;
  const within = currentObservation();
  tell((observer) => observer.stateChanged?.(change, within));
}

function tell(say: (observer: Observer) => void): void {
  for (const observers of [current.getStore()?.scope?.observers ?? [], processWide]) {
    for (const observer of observers) {
      try {
        say(observer);
      } catch {
        // See Observer.
      }
    }
  }
}
