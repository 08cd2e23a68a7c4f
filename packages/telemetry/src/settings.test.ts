import { describe, expect, it } from "vitest";
import { readSettings } from "./settings.ts";

function read(variables: { readonly [name: string]: string }) {
  const warnings: string[] = [];
  const settings = readSettings(
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318", ...variables },
    (message) => void warnings.push(message),
  );
  return { settings, warnings };
}

describe("settings", () => {
  it("are those of the specification where nothing is set", () => {
    expect(read({})).toEqual({
      settings: {
        traces: { protocol: "http/protobuf" },
        metrics: { protocol: "http/protobuf" },
        sampler: { kind: "always_on", isParentBased: true, ratio: 1 },
        batches: {
          scheduledDelayMillis: 5000,
          exportTimeoutMillis: 30_000,
          maxQueueSize: 2048,
          maxExportBatchSize: 512,
        },
        metricInterval: { exportIntervalMillis: 60_000, exportTimeoutMillis: 30_000 },
        spanLimits: { attributeValueLengthLimit: 1024, eventCountLimit: 128 },
      },
      warnings: [],
    });
  });

  it("differ by signal", () => {
    const { settings } = read({
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "http/protobuf",
    });
    expect([settings.traces, settings.metrics]).toEqual([{ protocol: "http/json" }, { protocol: "http/protobuf" }]);
    expect(read({ OTEL_METRICS_EXPORTER: "none" }).settings.metrics).toBeUndefined();
  });

  it.each([
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf or http/json: no traces are exported"],
    ["OTEL_TRACES_EXPORTER", "zipkin", "otlp or none: no traces are exported"],
  ])("that ask for what is not supported switch the signal off and say so: %s", (name, value, expected) => {
    const { settings, warnings } = read({ [name]: value });
    expect(settings.traces).toBeUndefined();
    expect(warnings[0]).toBe(`${name} is ${value}, expected ${expected}`);
  });

  it.each([
    ["always_off", undefined, { kind: "always_off", isParentBased: false, ratio: 1 }],
    ["traceidratio", "0.25", { kind: "traceidratio", isParentBased: false, ratio: 0.25 }],
    ["parentbased_traceidratio", "0.5", { kind: "traceidratio", isParentBased: true, ratio: 0.5 }],
  ])("choose the sampler %s", (name, argument, sampler) => {
    const variables = { OTEL_TRACES_SAMPLER: name, ...(argument && { OTEL_TRACES_SAMPLER_ARG: argument }) };
    expect(read(variables).settings.sampler).toEqual(sampler);
  });

  it.each([
    ["OTEL_TRACES_SAMPLER", "constructor"],
    ["OTEL_BSP_SCHEDULE_DELAY", "-1"],
    ["OTEL_BSP_MAX_QUEUE_SIZE", "1000000000"],
    ["OTEL_METRIC_EXPORT_INTERVAL", "soon"],
  ])("that are not valid count as absent and are reported: %s", (name, value) => {
    const { settings, warnings } = read({ [name]: value });
    expect(settings).toEqual(read({}).settings);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`${name} is ${value}, expected `);
  });

  it("keep batches within the queue and exports within the interval", () => {
    const { settings } = read({ OTEL_BSP_MAX_QUEUE_SIZE: "100", OTEL_METRIC_EXPORT_INTERVAL: "1000" });
    expect(settings.batches.maxExportBatchSize).toBe(100);
    expect(settings.metricInterval.exportTimeoutMillis).toBe(1000);
  });
});
