import { detectResources, envDetector, type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { Diagnostics } from "./diagnostics.ts";
import { metricExporter, samplerOf, traceExporter, withVariables } from "./exporters.ts";
import { Metrics } from "./metrics.ts";
import { readSettings, resourceVariables, type Settings } from "./settings.ts";
import { Spans, TraceIds } from "./spans.ts";
import type { Telemetry, TelemetryOptions } from "./types.ts";

const scope = "@uvm-shim/telemetry";

/** Names and outcomes of one metric; beyond that the library counts them together. */
const mostSeries = 500;

/** Starts exporting what the variables say. Reports what is wrong with them, and never throws because of them. */
export function startTelemetry(options: TelemetryOptions): Telemetry {
  const { variables, clock, service } = options;
  const diagnostics = new Diagnostics(options);
  diagnostics.install();
  const settings = readSettings(variables, (message) => diagnostics.warn(message));
  const resource = withVariables(resourceVariables(variables), process.env, () => resourceOf(options));
  const { spans, tracerProvider, metrics, meterProvider } = withVariables(variables, process.env, () => ({
    ...startTraces(settings, resource, service.version),
    ...startMetrics(settings, resource, options),
  }));
  let stopping: Promise<void> | undefined;
  const stop = async (milliseconds: number): Promise<void> => {
    const over = new AbortController();
    const flushed = Promise.allSettled([tracerProvider?.shutdown(), meterProvider?.shutdown()]);
    const timeout = clock.delay(milliseconds, over.signal).then(
      () => false,
      () => true,
    );
    const isFlushed = await Promise.race([flushed.then(() => true), timeout]);
    over.abort();
    metrics?.close();
    if (!isFlushed) diagnostics.warn(`the collector did not take everything within ${milliseconds} ms`);
  };
  return {
    began: (observation, at, spanId, of) => {
      spans?.begin(observation, at, { spanId, of });
      metrics?.begin(observation, at);
    },
    ended: (observation, error, at) => {
      spans?.end(observation, error, at);
      metrics?.end(observation, error, at);
    },
    stateChanged: (change, within, at) => {
      spans?.changeState(change, within, at);
      metrics?.changeState(change);
    },
    occurred: (occurrence, within, at) => {
      spans?.occur(occurrence, within, at);
      metrics?.occur(occurrence);
    },
    traceContextOf: (observation) => spans?.traceContextOf(observation),
    stop: (milliseconds) => {
      stopping ??= stop(milliseconds);
      return stopping;
    },
  };
}

/** What variables say about the resource goes before what the shim says. */
function resourceOf({ service, resource }: TelemetryOptions): Resource {
  const own = resourceFromAttributes({
    "service.name": service.name,
    "service.version": service.version,
    ...resource,
    "process.runtime.name": "nodejs",
    "process.runtime.version": process.version,
    "telemetry.sdk.language": "nodejs",
    "telemetry.sdk.name": "opentelemetry",
  });
  return own.merge(detectResources({ detectors: [envDetector] }));
}

function startTraces({ traces, batches, sampler, spanLimits }: Settings, resource: Resource, version: string) {
  if (traces === undefined) return {};
  const ids = new TraceIds();
  const tracerProvider = new TracerProvider({
    resource,
    sampler: samplerOf(sampler),
    idGenerator: ids,
    spanLimits,
    spanProcessors: [new BatchSpanProcessor({ exporter: traceExporter(traces.protocol), ...batches })],
  });
  return { tracerProvider, spans: new Spans(tracerProvider.getTracer(scope, version), ids) };
}

function startMetrics({ metrics, metricInterval }: Settings, resource: Resource, options: TelemetryOptions) {
  if (metrics === undefined) return {};
  const exporter = metricExporter(metrics.protocol);
  const reader = new PeriodicExportingMetricReader({
    exporter,
    ...metricInterval,
    cardinalityLimits: { default: mostSeries },
  });
  const meterProvider = new MeterProvider({ resource, readers: [reader] });
  const meter = meterProvider.getMeter(scope, options.service.version);
  return { meterProvider, metrics: new Metrics(meter, options.figures) };
}
