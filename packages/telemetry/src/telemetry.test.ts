import { addObserver, observe, reportOccurrence, systemClock } from "@uvm-shim/lifecycle";
import { OtlpReceiver } from "@uvm-shim/test-support/otlp-receiver";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTelemetry } from "./telemetry.ts";
import type { Figures, Telemetry, TelemetryOptions } from "./types.ts";

const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const activityId = "8a6a3b1c-22aa-4c50-9b0e-0123456789ab";
const noFigures: Figures = {
  pods: 0,
  vms: 0,
  containers: 0,
  processes: 0,
  pendingRequests: 0,
  queuedEvents: 0,
  queuedBytes: { stdio: 0, log: 0, events: 0 },
};

let receiver: OtlpReceiver;
let log: string[];
const ends: (() => Promise<void> | void)[] = [];

beforeEach(async () => {
  receiver = await OtlpReceiver.listen();
  log = [];
});

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await receiver[Symbol.asyncDispose]();
});

/** Telemetry that observes; one stop per test sends everything. */
function start(variables: TelemetryOptions["variables"] = {}, more: Partial<TelemetryOptions> = {}): Telemetry {
  const telemetry = startTelemetry({
    variables: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, ...variables },
    service: { name: "shim", version: "1.2.3" },
    resource: { "uvm_shim.sandbox.id": "s1" },
    log: (level, message, fields) => void log.push(`${level} ${message} ${JSON.stringify(fields)}`),
    clock: systemClock,
    figures: () => noFigures,
    ...more,
  });
  const now = (): number => performance.timeOrigin + performance.now();
  const remove = addObserver({
    began: (observation) => telemetry.began(observation, now()),
    ended: (observation, error) => telemetry.ended(observation, error, now()),
    stateChanged: (change, within) => telemetry.stateChanged(change, within, now()),
    occurred: (occurrence, within) => telemetry.occurred(occurrence, within, now()),
  });
  ends.push(remove, () => telemetry.stop(500));
  return telemetry;
}

function failing(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error("no such task"), { code }));
}

/** A request with a phase in it, in which host and guest are asked. */
function create(more: object = {}): Promise<void> {
  const what = {
    name: "containerd.task.v3.Task/Create",
    attributes: { container_id: "c1", args: "secret" },
  };
  return observe({ kind: "request", activityId, ...what, ...more }, () =>
    observe({ kind: "phase", name: "boot" }, async () => {
      await observe({ kind: "host-call", name: "start" }, async () => {});
      reportOccurrence("guest dialled", { port: 7, path: "secret" });
      await observe({ kind: "guest-request", name: "modifySettings" }, async () => {});
    }),
  );
}

it("spans say whose work they are where one process does that of several, under the names given", async () => {
  const telemetry = start();
  const of = { "containerd.namespace": "k8s.io", "uvm_shim.sandbox.id": "s2" };
  const work = { kind: "phase", name: "boot", attributes: { what: "VM", secret: "secret" } } as const;
  const observation = {
    ...work,
    activityId: undefined,
    traceParent: undefined,
    traceState: undefined,
    parent: undefined,
  };
  telemetry.began(observation, Date.now(), undefined, of);
  telemetry.ended(observation, undefined, Date.now());
  await telemetry.stop(500);
  expect(receiver.spans.map(({ attributes }) => attributes)).toEqual([{ ...of, "uvm_shim.what": "VM" }]);
});

describe.each(["http/protobuf", "http/json"])("traces over %s", (protocol) => {
  it("have a span for each observation, in the shape of the work", async () => {
    const telemetry = start({ OTEL_EXPORTER_OTLP_PROTOCOL: protocol });
    await create();
    await telemetry.stop(5000);
    expect(receiver.problems).toEqual([]);
    const named = new Map(receiver.spans.map((span) => [span.name, span]));
    const parentOf = (name: string) =>
      receiver.spans.find(({ spanId }) => spanId === named.get(name)?.parentSpanId)?.name;
    expect([...named.keys()].toSorted()).toEqual([
      "boot",
      "containerd.task.v3.Task/Create",
      "guest modifySettings",
      "host start",
    ]);
    expect(["boot", "host start", "guest modifySettings"].map(parentOf)).toEqual([
      "containerd.task.v3.Task/Create",
      "boot",
      "boot",
    ]);
    const request = named.get("containerd.task.v3.Task/Create");
    expect(request).toMatchObject({
      parentSpanId: "",
      kind: 2,
      status: { code: 0, message: "" },
      attributes: {
        "rpc.system": "ttrpc",
        "rpc.service": "containerd.task.v3.Task",
        "rpc.method": "Create",
        "rpc.grpc.status_code": 0,
        "container.id": "c1",
        "uvm_shim.activity.id": activityId,
      },
      resource: { "service.name": "shim", "service.version": "1.2.3", "uvm_shim.sandbox.id": "s1" },
    });
    expect(named.get("host start")?.kind).toBe(3);
    expect(named.get("boot")).toMatchObject({
      kind: 1,
      events: [{ name: "guest dialled", attributes: { "uvm_shim.port": 7 } }],
    });
    expect(request?.ended).toBeGreaterThanOrEqual(named.get("boot")?.ended ?? Number.POSITIVE_INFINITY);
  });
});

describe("a trace", () => {
  it("is that of the caller, and passes its state on", async () => {
    const telemetry = start();
    const contexts: unknown[] = [];
    ends.push(addObserver({ ended: (observation) => void contexts.push(telemetry.traceContextOf(observation)) }));
    await create({ traceParent, traceState: "vendor=1" });
    await telemetry.stop(5000);
    expect(new Set(receiver.spans.map(({ traceId }) => traceId))).toEqual(new Set([traceParent.slice(3, 35)]));
    const request = receiver.spans.find(({ kind }) => kind === 2);
    expect(request).toMatchObject({ parentSpanId: "b7ad6b7169203331", traceState: "vendor=1" });
    expect(contexts.at(-1)).toEqual({
      traceParent: `00-0af7651916cd43dd8448eb211c80319c-${request?.spanId}-01`,
      traceState: "vendor=1",
    });
  });

  it("has the activity's id where the caller has none", async () => {
    const telemetry = start();
    await create({ traceParent: "nonsense" });
    await observe({ kind: "phase", name: "of its own" }, async () => {});
    await telemetry.stop(5000);
    const traceIdOf = (name: string) => receiver.spans.find((span) => span.name === name)?.traceId;
    expect(traceIdOf("boot")).toBe(activityId.replaceAll("-", ""));
    expect(traceIdOf("of its own")).not.toBe(traceIdOf("boot"));
  });

  it("is not kept, nor told to others, when the caller or the sampler says so", async () => {
    const telemetry = start();
    const contexts: unknown[] = [];
    ends.push(addObserver({ ended: (observation) => void contexts.push(telemetry.traceContextOf(observation)) }));
    await create({ traceParent: traceParent.replace(/01$/, "00") });
    const other = start({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0" });
    await create({ traceParent });
    await Promise.all([telemetry.stop(5000), other.stop(5000)]);
    expect(contexts.slice(0, 4)).toEqual([undefined, undefined, undefined, undefined]);
    // The first telemetry keeps the second request, as its caller asks for.
    expect(receiver.spans.map(({ name }) => name)).toHaveLength(4);
  });

  it.each([
    ["NotFound", 5, 0],
    ["Internal", 13, 2],
    ["DeadlineExceeded", 4, 2],
    ["made up", 13, 2],
  ])(
    "of a request that fails with %s has its number, and fails when it is the shim's fault",
    async (code, number, status) => {
      const telemetry = start();
      const name = "s/State";
      await observe({ kind: "request", name, attributes: { service: "s" } }, () => failing(code)).catch(() => {});
      await observe({ kind: "guest-request", name: "getProperties" }, () => failing(code)).catch(() => {});
      await telemetry.stop(5000);
      const [request, guest] = receiver.spans;
      expect(request).toMatchObject({ name: "s/State", attributes: { "rpc.grpc.status_code": number } });
      expect(request?.status.code).toBe(status);
      expect(guest?.status).toEqual({ code: 2, message: "no such task" });
    },
  );
});

describe("metrics", () => {
  it("count and measure by name and outcome, and read the gauges", async () => {
    const figures = { ...noFigures, pods: 1, queuedBytes: { stdio: 1, log: 2, events: 3 } };
    const telemetry = start({}, { figures: () => figures });
    await create();
    await create();
    await observe({ kind: "host-call", name: "start" }, () => failing("Unavailable")).catch(() => {});
    await telemetry.stop(5000);
    const points = (name: string) =>
      receiver.last(name)?.points.map(({ attributes, count, value }) => ({ ...attributes, value: count ?? value }));
    expect(points("rpc.server.duration")).toEqual([
      {
        "rpc.system": "ttrpc",
        "rpc.service": "containerd.task.v3.Task",
        "rpc.method": "Create",
        "rpc.grpc.status_code": 0,
        value: 2,
      },
    ]);
    expect(points("uvm_shim.host_call.duration")).toEqual([
      { name: "start", value: 2 },
      { name: "start", "error.type": "Unavailable", value: 1 },
    ]);
    expect(points("uvm_shim.occurrences")).toEqual([{ name: "guest dialled", value: 2 }]);
    expect(points("uvm_shim.pods")).toEqual([{ value: 1 }]);
    expect(points("uvm_shim.queued")).toEqual([
      { queue: "stdio", value: 1 },
      { queue: "log", value: 2 },
      { queue: "events", value: 3 },
    ]);
    expect(receiver.last("process.memory.usage")?.points[0]?.value).toBeGreaterThan(10_000_000);
    expect(receiver.last("nodejs.eventloop.delay.max")?.points[0]?.value).toBeLessThan(60);
  });
});

describe("a collector that fails", () => {
  it.each(["hang", "busy", "garbage"] as const)("holds up the end no longer than it may: %s", async (manner) => {
    receiver.manner = manner;
    const telemetry = start();
    await create();
    const began = performance.now();
    await telemetry.stop(200);
    expect(performance.now() - began).toBeLessThan(1000);
    expect(log.length).toBeGreaterThan(0);
    expect(receiver.requests.length).toBeGreaterThan(0);
  });

  it("may be absent", async () => {
    const telemetry = start({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://user:hidden@127.0.0.1:1" });
    await create();
    const began = performance.now();
    await telemetry.stop(200);
    expect(performance.now() - began).toBeLessThan(1000);
    expect(log.join("\n")).not.toContain("hidden");
  });

  it("gets no more spans than the queue and the batch under way hold", async () => {
    receiver.manner = "hang";
    const telemetry = start({ OTEL_BSP_MAX_QUEUE_SIZE: "10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "10" });
    for (let request = 0; request < 100; request += 1) await create();
    receiver.manner = "take";
    await telemetry.stop(200);
    expect(receiver.spans.length).toBeLessThanOrEqual(20);
  });
});

describe("variables", () => {
  it("are the only ones that count, and stay as they are in the environment", async () => {
    process.env.OTEL_EXPORTER_OTLP_HEADERS = "x-other=1";
    ends.push(() => void delete process.env.OTEL_EXPORTER_OTLP_HEADERS);
    const telemetry = start({
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20secret",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
      OTEL_SERVICE_NAME: "mine",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test",
    });
    await create();
    await telemetry.stop(5000);
    expect(process.env.OTEL_EXPORTER_OTLP_HEADERS).toBe("x-other=1");
    expect(receiver.requests[0]?.headers).toMatchObject({ authorization: "Bearer secret", "content-encoding": "gzip" });
    expect(receiver.requests[0]?.headers["x-other"]).toBeUndefined();
    expect(receiver.spans[0]?.resource).toMatchObject({ "service.name": "mine", "deployment.environment": "test" });
  });

  it("do not give the shim the name that containerd has for itself", async () => {
    const telemetry = start({ OTEL_SERVICE_NAME: "containerd" });
    await create();
    await telemetry.stop(5000);
    expect(receiver.spans[0]?.resource["service.name"]).toBe("shim");
  });

  it("may ask for one of the signals only", async () => {
    const telemetry = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: "",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.endpoint}/v1/traces`,
    });
    await create();
    await telemetry.stop(5000);
    expect(new Set(receiver.requests.map(({ path }) => path))).toEqual(new Set(["/v1/traces"]));
  });
});
