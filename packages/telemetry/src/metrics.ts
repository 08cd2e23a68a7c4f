import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import type { Attributes, Histogram, Meter, MetricOptions } from "@opentelemetry/api";
import { isFailure, outcomeOf, rpcAttributes, statusNumber } from "./attributes.ts";
import type { Figures, Observation, Occurrence, StateChange } from "./types.ts";

interface GaugeRow {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  /** By values of the attribute `queue` where there is more than one. */
  readonly read: (figures: Figures, runtime: RuntimeFigures) => number | { readonly [queue: string]: number };
}

interface RuntimeFigures {
  readonly memory: NodeJS.MemoryUsage;
  readonly utilization: number;
  /** Of the time since the last collection, in seconds. */
  readonly delay: { readonly p50: number; readonly p99: number; readonly max: number };
}

const milliseconds = { unit: "ms" };

/** docs/telemetry.md lists these; a test compares. */
export const histograms = {
  request: {
    name: "rpc.server.duration",
    description: "Duration of requests from their arrival to their answer",
    ...milliseconds,
  },
  "host-call": {
    name: "uvm_shim.host_call.duration",
    description: "Duration of calls to the host compute service",
    ...milliseconds,
  },
  "guest-request": {
    name: "uvm_shim.guest_request.duration",
    description: "Duration of requests to the guest",
    ...milliseconds,
  },
  phase: { name: "uvm_shim.phase.duration", description: "Duration of the shim's own steps", ...milliseconds },
} as const satisfies { readonly [kind in Observation["kind"]]: MetricOptions & { readonly name: string } };

/** Names, descriptions and units of the counters. */
export const counters = {
  stateChanges: {
    name: "uvm_shim.state_changes",
    description: "Changes of state of what the shim manages",
    unit: "{change}",
  },
  occurrences: {
    name: "uvm_shim.occurrences",
    description: "Events such as exits and lost connections",
    unit: "{occurrence}",
  },
} as const;

/** What is read from the shim whenever metrics are collected. */
export const gauges: readonly GaugeRow[] = [
  gauge("uvm_shim.pods", "{pod}", "Pods that the shim serves", ({ pods }) => pods),
  gauge("uvm_shim.vms", "{vm}", "Utility VMs that exist or are being made", ({ vms }) => vms),
  gauge("uvm_shim.containers", "{container}", "Containers, until they are deleted", ({ containers }) => containers),
  gauge("uvm_shim.processes", "{process}", "Processes in the guest that run", ({ processes }) => processes),
  gauge(
    "uvm_shim.requests.pending",
    "{request}",
    "Requests without an answer",
    ({ pendingRequests }) => pendingRequests,
  ),
  gauge(
    "uvm_shim.events.queued",
    "{event}",
    "Events that containerd has not acknowledged",
    (figures) => figures.queuedEvents,
  ),
  gauge("uvm_shim.queued", "By", "Bytes that wait for their reader", ({ queuedBytes }) => queuedBytes),
  gauge("nodejs.eventloop.delay.p50", "s", "Median delay of the event loop", (_, { delay }) => delay.p50),
  gauge(
    "nodejs.eventloop.delay.p99",
    "s",
    "99th percentile of the delay of the event loop",
    (_, { delay }) => delay.p99,
  ),
  gauge("nodejs.eventloop.delay.max", "s", "Longest delay of the event loop", (_, { delay }) => delay.max),
  gauge(
    "nodejs.eventloop.utilization",
    "1",
    "Share of the time in which the event loop was busy",
    (_, runtime) => runtime.utilization,
  ),
  gauge("process.memory.usage", "By", "Resident memory of the shim", (_, { memory }) => memory.rss),
  gauge("v8js.memory.heap.used", "By", "Used heap of the shim", (_, { memory }) => memory.heapUsed),
];

function gauge(name: string, unit: string, description: string, read: GaugeRow["read"]): GaugeRow {
  return { name, unit, description, read };
}

/** The delay is sampled at this interval, which is part of what Node reports. */
const delayResolution = 100;
const nanoseconds = 1e9;

/** Milliseconds; calls that boot a guest take seconds, and a wait for an exit as long as the process runs. */
const durationBoundaries = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 120_000];

/** Durations, counts and gauges of what is observed. */
export class Metrics {
  readonly #meter: Meter;
  readonly #durations: { readonly [kind in Observation["kind"]]: Histogram };
  readonly #stateChanges;
  readonly #occurrences;
  readonly #began = new WeakMap<Observation, number>();
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>;

  constructor(meter: Meter, figures: () => Figures) {
    this.#meter = meter;
    const histogram = ({ name, description, unit }: (typeof histograms)[Observation["kind"]]): Histogram =>
      meter.createHistogram(name, { description, unit, advice: { explicitBucketBoundaries: durationBoundaries } });
    this.#durations = {
      request: histogram(histograms.request),
      "host-call": histogram(histograms["host-call"]),
      "guest-request": histogram(histograms["guest-request"]),
      phase: histogram(histograms.phase),
    };
    this.#stateChanges = meter.createCounter(counters.stateChanges.name, counters.stateChanges);
    this.#occurrences = meter.createCounter(counters.occurrences.name, counters.occurrences);
    this.#delay = monitorEventLoopDelay({ resolution: delayResolution });
    this.#delay.enable();
    this.#observeGauges(figures);
  }

  begin(observation: Observation, at: number): void {
    this.#began.set(observation, at);
  }

  end(observation: Observation, error: unknown, at: number): void {
    const began = this.#began.get(observation);
    if (began === undefined) return;
    this.#durations[observation.kind].record(Math.max(0, at - began), attributesOf(observation, outcomeOf(error)));
  }

  changeState({ subject, operation, to, outcome }: StateChange): void {
    this.#stateChanges.add(1, { subject, operation, to, outcome });
  }

  occur({ name }: Occurrence): void {
    this.#occurrences.add(1, { name });
  }

  /** Stops what is sampled in the meantime. */
  close(): void {
    this.#delay.disable();
  }

  #observeGauges(figures: () => Figures): void {
    const rows = gauges.map(({ name, description, unit, read }) => ({
      instrument: this.#meter.createObservableGauge(name, { description, unit }),
      read,
    }));
    this.#meter.addBatchObservableCallback(
      (result) => {
        const [now, runtime] = [figures(), this.#runtimeFigures()];
        for (const { instrument, read } of rows) {
          const value = read(now, runtime);
          if (typeof value === "number") result.observe(instrument, value);
          else for (const [queue, bytes] of Object.entries(value)) result.observe(instrument, bytes, { queue });
        }
      },
      rows.map(({ instrument }) => instrument),
    );
  }

  #runtimeFigures(): RuntimeFigures {
    const seconds = (measured: number): number => Math.max(0, measured / nanoseconds - delayResolution / 1000);
    const delay = {
      p50: seconds(this.#delay.percentile(50)),
      p99: seconds(this.#delay.percentile(99)),
      max: this.#delay.count === 0 ? 0 : seconds(this.#delay.max),
    };
    this.#delay.reset();
    return { memory: process.memoryUsage(), utilization: performance.eventLoopUtilization().utilization, delay };
  }
}

function attributesOf(observation: Observation, outcome: string): Attributes {
  const errorType = isFailure(observation, outcome) && { "error.type": outcome };
  if (observation.kind === "request") {
    return { ...rpcAttributes(observation), "rpc.grpc.status_code": statusNumber(outcome), ...errorType };
  }
  return { name: observation.name, ...errorType };
}
