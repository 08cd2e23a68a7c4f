import {
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { type IdGenerator, RandomIdGenerator } from "@opentelemetry/sdk-trace";
import { exported, isFailure, outcomeOf, rpcAttributes, statusNumber } from "./attributes.ts";
import type { Attributes, Observation, Occurrence, StateChange, TraceContext } from "./types.ts";

const kinds: { readonly [kind in Observation["kind"]]: SpanKind } = {
  request: SpanKind.SERVER,
  phase: SpanKind.INTERNAL,
  "host-call": SpanKind.CLIENT,
  "guest-request": SpanKind.CLIENT,
};

const longestMessage = 1024;
const guid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;
const noTrace = /^0+$/;

/**
 * Random ids, but for the trace of a request that came without one: its activity id, by which the log lines of the shim
 * and of the guest are found.
 */
export class TraceIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  #nextTrace: string | undefined;
  #nextSpan: string | undefined;

  readonly generateSpanId = (): string => this.#nextSpan ?? this.#random.generateSpanId();

  readonly generateTraceId = (): string => this.#nextTrace ?? this.#random.generateTraceId();

  /** What is begun meanwhile has these ids, where they are given. */
  using<T>(ids: { readonly activityId: string | undefined; readonly spanId: string | undefined }, begin: () => T): T {
    const { activityId = "", spanId } = ids;
    const digits = guid.test(activityId) ? activityId.replaceAll("-", "").toLowerCase() : "";
    this.#nextTrace = digits === "" || noTrace.test(digits) ? undefined : digits;
    this.#nextSpan = spanId;
    try {
      return begin();
    } finally {
      this.#nextTrace = undefined;
      this.#nextSpan = undefined;
    }
  }
}

/** A span for each observation; changes of state and occurrences are events of the span that they happen in. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #ids: TraceIds;
  readonly #propagator = new W3CTraceContextPropagator();
  readonly #spans = new WeakMap<Observation, Span>();

  constructor(tracer: Tracer, ids: TraceIds) {
    this.#tracer = tracer;
    this.#ids = ids;
  }

  begin(
    observation: Observation,
    at: number,
    { spanId, of }: { readonly spanId: string | undefined; readonly of: Attributes | undefined },
  ): void {
    const context = this.#contextOf(observation);
    const attributes = { ...of, ...attributesOf(observation) };
    const options = { kind: kinds[observation.kind], startTime: at, attributes };
    const start = (): Span => this.#tracer.startSpan(nameOf(observation), options, context);
    this.#spans.set(observation, this.#ids.using({ activityId: observation.activityId, spanId }, start));
  }

  end(observation: Observation, error: unknown, at: number): void {
    const span = this.#spans.get(observation);
    if (span === undefined) return;
    const outcome = outcomeOf(error);
    if (observation.kind === "request") span.setAttribute("rpc.grpc.status_code", statusNumber(outcome));
    if (error !== undefined) span.setAttribute("error.type", outcome);
    if (isFailure(observation, outcome)) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error).slice(0, longestMessage) });
    }
    span.end(at);
  }

  changeState(change: StateChange, within: Observation | undefined, at: number): void {
    const { subject, id, operation, from, to, outcome } = change;
    const name = `${subject}: ${to}`;
    this.#addEvent(within, name, { subject, id, operation, from, to, outcome }, at);
  }

  occur({ name, attributes }: Occurrence, within: Observation | undefined, at: number): void {
    this.#addEvent(within, name, exported(attributes), at);
  }

  traceContextOf(observation: Observation): TraceContext | undefined {
    const span = this.#spans.get(observation);
    if (span === undefined || (span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return undefined;
    const headers: { traceparent?: string; tracestate?: string } = {};
    this.#propagator.inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter);
    const { traceparent: traceParent, tracestate: traceState } = headers;
    if (traceParent === undefined) return undefined;
    return { traceParent, ...(traceState !== undefined && traceState !== "" && { traceState }) };
  }

  #contextOf({ parent, traceParent, traceState }: Observation): Context {
    const span = parent && this.#spans.get(parent);
    if (span !== undefined) return trace.setSpan(ROOT_CONTEXT, span);
    const headers = { traceparent: traceParent ?? "", tracestate: traceState ?? "" };
    return this.#propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
  }

  #addEvent(within: Observation | undefined, name: string, attributes: Attributes, at: number): void {
    const span = within && this.#spans.get(within);
    if (span?.isRecording()) span.addEvent(name, attributes, at);
  }
}

function nameOf({ kind, name }: Observation): string {
  switch (kind) {
    case "request":
    case "phase":
      return name;
    case "host-call":
      return `host ${name}`;
    case "guest-request":
      return `guest ${name}`;
  }
}

function attributesOf(observation: Observation): Attributes {
  const { kind, attributes, activityId } = observation;
  return {
    ...(kind === "request" && rpcAttributes(observation)),
    ...exported(attributes),
    ...(activityId !== undefined && { "uvm_shim.activity.id": activityId }),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "";
}
