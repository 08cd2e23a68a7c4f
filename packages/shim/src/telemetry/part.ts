/** What the shim requires of its telemetry, which is loaded only when it is asked for. Satisfied by packages/telemetry. */
import type { Attributes, Clock, Observation, Occurrence, StateChange, TraceContext } from "@uvm-shim/lifecycle";
import type { Log } from "../platform.ts";

/** What the bundle of telemetry has; the package telemetry satisfies it. */
export interface TelemetryPart {
  startTelemetry(options: {
    readonly variables: TelemetryVariables;
    readonly service: { readonly name: string; readonly version: string };
    readonly resource: { readonly [attribute: string]: string | number };
    readonly log: Log["log"];
    readonly clock: Pick<Clock, "now" | "delay">;
    readonly figures: () => Figures;
  }): Telemetry;
}

/** The OTEL_* variables. */
export type TelemetryVariables = { readonly [name: string]: string };

/** What the shim has at one instant, for gauges. */
export interface Figures {
  readonly pods: number;
  readonly vms: number;
  readonly containers: number;
  readonly processes: number;
  readonly pendingRequests: number;
  readonly queuedEvents: number;
  readonly queuedBytes: { readonly [queue in "stdio" | "log" | "events"]: number };
}

/** Times are in milliseconds since 1970, with fractions. */
export interface Telemetry {
  /** `spanId` is what others have been told before telemetry was loaded; `of` says whose work it is. */
  began(observation: Observation, at: number, spanId?: string, of?: Attributes): void;
  ended(observation: Observation, error: unknown, at: number): void;
  stateChanged(change: StateChange, within: Observation | undefined, at: number): void;
  occurred(occurrence: Occurrence, within: Observation | undefined, at: number): void;
  traceContextOf(observation: Observation): TraceContext | undefined;
  stop(milliseconds: number): Promise<void>;
}
