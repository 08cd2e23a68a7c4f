import { OTLPMetricExporter as JsonMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as JsonTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import type { PushMetricExporter } from "@opentelemetry/sdk-metrics";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";
import type { Protocol, SamplerSetting } from "./settings.ts";

/** Exports of one signal at a time: more of them wait in a collector's own queue, or are dropped. */
const options = { concurrencyLimit: 2 };

/** Exports spans in one of OTLP's encodings; the library reads its endpoint from the OTEL_* variables. */
export function traceExporter(protocol: Protocol): SpanExporter {
  return protocol === "http/json" ? new JsonTraceExporter(options) : new ProtobufTraceExporter(options);
}

/** Exports metrics in one of OTLP's encodings; the library reads its endpoint from the OTEL_* variables. */
export function metricExporter(protocol: Protocol): PushMetricExporter {
  return protocol === "http/json" ? new JsonMetricExporter(options) : new ProtobufMetricExporter(options);
}

/** Decides which traces are kept. */
export function samplerOf({ kind, isParentBased, ratio }: SamplerSetting): Sampler {
  const root = rootSampler(kind, ratio);
  return isParentBased ? new ParentBasedSampler({ root }) : root;
}

function rootSampler(kind: SamplerSetting["kind"], ratio: number): Sampler {
  switch (kind) {
    case "always_on":
      return new AlwaysOnSampler();
    case "always_off":
      return new AlwaysOffSampler();
    case "traceidratio":
      return new TraceIdRatioBasedSampler(ratio);
  }
}

/**
 * The library reads endpoints, headers, certificates and so on from the environment of the process while it makes an
 * exporter. It finds exactly these variables there, and later readers of the environment find what was there before.
 */
export function withVariables<T>(
  variables: { readonly [name: string]: string | undefined },
  environment: NodeJS.ProcessEnv,
  make: () => T,
): T {
  const before = Object.entries(environment).filter(([name]) => name.startsWith("OTEL_"));
  const clear = (): void => {
    for (const name of Object.keys(environment)) if (name.startsWith("OTEL_")) delete environment[name];
  };
  clear();
  for (const [name, value] of Object.entries(variables)) if (value !== undefined) environment[name] = value;
  try {
    return make();
  } finally {
    clear();
    for (const [name, value] of before) environment[name] = value;
  }
}
