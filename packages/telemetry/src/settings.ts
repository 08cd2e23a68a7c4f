import type { TelemetryOptions } from "./types.ts";

type Variables = TelemetryOptions["variables"];

/** What can be exported, each by itself. */
export type Signal = "traces" | "metrics";
/** OTLP's encodings over HTTP. */
export type Protocol = "http/protobuf" | "http/json";

/** OTEL_TRACES_SAMPLER and its argument. */
export interface SamplerSetting {
  readonly kind: "always_on" | "always_off" | "traceidratio";
  /** Whether a trace that the request came with decides for itself. */
  readonly isParentBased: boolean;
  readonly ratio: number;
}

/** The OTEL_* variables, read and checked. Times in milliseconds. */
export interface Settings {
  /** Absent if the signal is not exported. */
  readonly traces?: { readonly protocol: Protocol };
  readonly metrics?: { readonly protocol: Protocol };
  readonly sampler: SamplerSetting;
  readonly batches: {
    readonly scheduledDelayMillis: number;
    readonly exportTimeoutMillis: number;
    readonly maxQueueSize: number;
    readonly maxExportBatchSize: number;
  };
  readonly metricInterval: { readonly exportIntervalMillis: number; readonly exportTimeoutMillis: number };
  readonly spanLimits: { readonly attributeValueLengthLimit: number; readonly eventCountLimit: number };
}

/** containerd's own name, which its documentation tells people to set for it, and which shims inherit. */
const inheritedServiceName = "containerd";

/** Reads the variables of OpenTelemetry's specification. A value that is not valid is reported and counts as absent. */
export function readSettings(variables: Variables, warn: (message: string) => void): Settings {
  const reader = new Reader(variables, warn);
  const traces = reader.signal("traces");
  const metrics = reader.signal("metrics");
  const exportIntervalMillis = reader.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000);
  const maxQueueSize = reader.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, largestQueue);
  return {
    ...(traces && { traces }),
    ...(metrics && { metrics }),
    sampler: reader.sampler(),
    batches: {
      scheduledDelayMillis: reader.number("OTEL_BSP_SCHEDULE_DELAY", 5000),
      exportTimeoutMillis: reader.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
      maxQueueSize,
      maxExportBatchSize: Math.min(reader.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512), maxQueueSize),
    },
    metricInterval: {
      exportIntervalMillis,
      exportTimeoutMillis: Math.min(reader.number("OTEL_METRIC_EXPORT_TIMEOUT", 30_000), exportIntervalMillis),
    },
    spanLimits: {
      attributeValueLengthLimit: reader.number("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", 1024),
      eventCountLimit: reader.number("OTEL_SPAN_EVENT_COUNT_LIMIT", 128),
    },
  };
}

/** The service's name and the resource's attributes that variables set. */
export function resourceVariables(variables: Variables): Variables {
  const { OTEL_SERVICE_NAME: name, OTEL_RESOURCE_ATTRIBUTES: attributes } = variables;
  return {
    ...(name !== inheritedServiceName && { OTEL_SERVICE_NAME: name }),
    OTEL_RESOURCE_ATTRIBUTES: attributes,
  };
}

/** Spans that wait for a collector hold memory: some 50 MB at this number. */
const largestQueue = 65_536;
const largestNumber = 2 ** 31 - 1;

const samplers: { readonly [name: string]: Omit<SamplerSetting, "ratio"> } = {
  always_on: { kind: "always_on", isParentBased: false },
  always_off: { kind: "always_off", isParentBased: false },
  traceidratio: { kind: "traceidratio", isParentBased: false },
  parentbased_always_on: { kind: "always_on", isParentBased: true },
  parentbased_always_off: { kind: "always_off", isParentBased: true },
  parentbased_traceidratio: { kind: "traceidratio", isParentBased: true },
};

class Reader {
  readonly #variables: Variables;
  readonly #warn: (message: string) => void;

  constructor(variables: Variables, warn: (message: string) => void) {
    this.#variables = variables;
    this.#warn = warn;
  }

  signal(signal: Signal): { readonly protocol: Protocol } | undefined {
    const own = signal.toUpperCase();
    if (this.#first(`OTEL_EXPORTER_OTLP_${own}_ENDPOINT`, "OTEL_EXPORTER_OTLP_ENDPOINT") === undefined)
      return undefined;
    const [exporterName, exporter] = this.#first(`OTEL_${own}_EXPORTER`) ?? ["", "otlp"];
    if (exporter === "none") return undefined;
    if (exporter !== "otlp") {
      this.#warn(`${exporterName} is ${exporter}, expected otlp or none: no ${signal} are exported`);
      return undefined;
    }
    const names = [`OTEL_EXPORTER_OTLP_${own}_PROTOCOL`, "OTEL_EXPORTER_OTLP_PROTOCOL"];
    const [protocolName, protocol] = this.#first(...names) ?? ["", "http/protobuf"];
    if (protocol === "http/protobuf" || protocol === "http/json") return { protocol };
    const expected = "expected http/protobuf or http/json";
    this.#warn(`${protocolName} is ${protocol}, ${expected}: no ${signal} are exported`);
    return undefined;
  }

  sampler(): SamplerSetting {
    const [name, value] = this.#first("OTEL_TRACES_SAMPLER") ?? ["", "parentbased_always_on"];
    const sampler = Object.hasOwn(samplers, value) ? samplers[value] : undefined;
    if (sampler === undefined) {
      const expected = Object.keys(samplers).join(", ");
      this.#warn(`${name} is ${value}, expected one of ${expected}; using parentbased_always_on`);
      return { kind: "always_on", isParentBased: true, ratio: 1 };
    }
    return { ...sampler, ratio: sampler.kind === "traceidratio" ? this.#ratio() : 1 };
  }

  number(name: string, fallback: number, largest = largestNumber): number {
    const [, text] = this.#first(name) ?? [];
    if (text === undefined) return fallback;
    const value = Number(text);
    if (Number.isInteger(value) && value > 0 && value <= largest) return value;
    this.#warn(`${name} is ${text}, expected a whole number from 1 to ${largest}; using ${fallback}`);
    return fallback;
  }

  #ratio(): number {
    const [name, text] = this.#first("OTEL_TRACES_SAMPLER_ARG") ?? [];
    if (text === undefined) return 1;
    const ratio = Number(text);
    if (ratio >= 0 && ratio <= 1) return ratio;
    this.#warn(`${name} is ${text}, expected a number from 0 to 1; using 1`);
    return 1;
  }

  /** The first of the variables that is set, with its value; an empty one counts as absent. */
  #first(...names: readonly string[]): readonly [string, string] | undefined {
    for (const name of names) {
      const value = this.#variables[name]?.trim();
      if (value !== undefined && value !== "") return [name, value];
    }
    return undefined;
  }
}
