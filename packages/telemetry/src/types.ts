/** What telemetry requires of the shim that loads it, and what the shim gets. */
import type { Attributes, Clock, Observation, Occurrence, StateChange, TraceContext } from "@uvm-shim/lifecycle";

export type { Attributes, Observation, Occurrence, StateChange, TraceContext };

/** The levels of what telemetry says about itself. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** What telemetry is started with. */
export interface TelemetryOptions {
  /** The OTEL_* variables; the environment of the process is not read. */
  readonly variables: { readonly [name: string]: string | undefined };
  readonly service: { readonly name: string; readonly version: string };
  /** Added to the description of the resource that traces and metrics are about. */
  readonly resource: { readonly [attribute: string]: string | number };
  readonly log: (level: LogLevel, message: string, fields?: { readonly [field: string]: unknown }) => void;
  readonly clock: Pick<Clock, "now" | "delay">;
  /** Called whenever metrics are collected. */
  readonly figures: () => Figures;
}

/** What the shim has at one instant. */
export interface Figures {
  readonly pods: number;
  readonly vms: number;
  readonly containers: number;
  readonly processes: number;
  /** Requests that are not answered yet. */
  readonly pendingRequests: number;
  readonly queuedEvents: number;
  /** Bytes that wait for their reader. */
  readonly queuedBytes: { readonly [queue in "stdio" | "log" | "events"]: number };
}

/**
 * Turns observations into traces and metrics. Times are in milliseconds since 1970, with fractions: what was observed
 * before telemetry was loaded is told later.
 */
export interface Telemetry {
  /**
   * `spanId` is what others have been told before; made here if absent. `of` says whose work it is where one process does
   * that of several: attributes under the names that collectors know, which are exported as they are.
   */
  began(observation: Observation, at: number, spanId?: string, of?: Attributes): void;
  /** `error` is what the work threw; undefined if it succeeded. */
  ended(observation: Observation, error: unknown, at: number): void;
  stateChanged(change: StateChange, within: Observation | undefined, at: number): void;
  occurred(occurrence: Occurrence, within: Observation | undefined, at: number): void;
  /** Undefined if the work's trace is not kept. */
  traceContextOf(observation: Observation): TraceContext | undefined;
  /** Sends what is left, within the time: a collector that does not answer loses it. Idempotent. */
  stop(milliseconds: number): Promise<void>;
}
