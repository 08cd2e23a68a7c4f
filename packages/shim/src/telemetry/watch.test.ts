import { currentTraceContext, observe, reportOccurrence } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, describe, expect, it } from "vitest";
import type { Telemetry, TelemetryVariables } from "./part.ts";
import { TelemetryWatch } from "./watch.ts";

const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const activityId = "8a6a3b1c-22aa-4c50-9b0e-0123456789ab";
const watches: TelemetryWatch[] = [];

function setUp(variables: TelemetryVariables = {}, failure?: Error) {
  const clock = new ManualClock();
  const told: string[] = [];
  const log: string[] = [];
  let starts = 0;
  const telemetry: Telemetry = {
    began: ({ name }, at, spanId) => void told.push(`began ${name} ${spanId} ${Number.isFinite(at)}`),
    ended: ({ name }) => void told.push(`ended ${name}`),
    stateChanged: () => {},
    occurred: ({ name }) => void told.push(`occurred ${name}`),
    traceContextOf: () => ({ traceParent: "of telemetry" }),
    stop: async (milliseconds) => void told.push(`stop ${milliseconds}`),
  };
  const watch = new TelemetryWatch({
    variables,
    clock,
    log: { log: (_level, message) => void log.push(message) },
    start: async () => {
      starts += 1;
      if (failure !== undefined) throw failure;
      return telemetry;
    },
  });
  watch.observe();
  watches.push(watch);
  return { clock, told, log, watch, starts: () => starts };
}

afterEach(async () => {
  for (const watch of watches.splice(0)) await watch.stop();
});

const context = (more: object = {}) =>
  observe({ kind: "request", name: "Create", activityId, ...more }, () =>
    observe({ kind: "guest-request", name: "create" }, async () => currentTraceContext()),
  );

describe("what is observed", () => {
  it("is kept until telemetry is loaded, after a while, and told in order", async () => {
    const { clock, told, watch, starts } = setUp();
    watch.begin();
    await observe({ kind: "phase", name: "boot" }, async () => reportOccurrence("dialled"));
    expect([told, starts()]).toEqual([[], 0]);
    await clock.advance(2000);
    expect(told).toEqual(["began boot undefined true", "occurred dialled", "ended boot"]);
    await observe({ kind: "phase", name: "later" }, async () => {});
    expect(told.slice(3)).toEqual(["began later undefined true", "ended later"]);
  });

  it("is told at the end of a shim that ends sooner", async () => {
    const { told, watch, starts } = setUp();
    watch.begin();
    await observe({ kind: "phase", name: "boot" }, async () => {});
    await watch.stop();
    expect(told).toEqual(["began boot undefined true", "ended boot", "stop 500"]);
    expect(starts()).toBe(1);
  });

  it("is nobody's when telemetry cannot be loaded, which is logged", async () => {
    const { clock, log, watch } = setUp({}, new Error("no such file"));
    watch.begin();
    await clock.advance(2000);
    expect(log).toEqual(["cannot load telemetry"]);
    expect(await context()).toBeUndefined();
  });
});

describe("the trace before telemetry is loaded", () => {
  it("is that of the activity, by a span that telemetry then has", async () => {
    const { told, watch } = setUp();
    const made = (await context())?.traceParent ?? "";
    expect(made).toMatch(/^00-8a6a3b1c22aa4c509b0e0123456789ab-[\da-f]{16}-01$/);
    await watch.stop();
    expect(told[1]).toBe(`began create ${made.slice(36, 52)} true`);
  });

  it("is the caller's where it has one, with its state", async () => {
    setUp();
    expect(await context({ traceParent, traceState: "a=1" })).toEqual({
      traceParent: expect.stringMatching(/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[\da-f]{16}-01$/),
      traceState: "a=1",
    });
  });

  it.each([
    ["a caller that does not keep it", {}, { traceParent: traceParent.replace(/01$/, "00") }],
    ["a sampler that takes some", { OTEL_TRACES_SAMPLER: "parentbased_traceidratio" }, {}],
    ["a sampler that takes none", { OTEL_TRACES_SAMPLER: "always_off" }, { traceParent }],
  ])("is told to nobody with %s", async (_what, variables, more) => {
    setUp(variables);
    expect(await context(more)).toBeUndefined();
  });

  it("is told for a sampler that takes all, whatever the caller does", async () => {
    setUp({ OTEL_TRACES_SAMPLER: "always_on" });
    expect(await context({ traceParent: traceParent.replace(/01$/, "00") })).toBeDefined();
  });
});
