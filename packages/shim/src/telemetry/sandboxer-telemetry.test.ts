import { ObservationScope, observe } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { expect, it } from "vitest";
import type { Services } from "../services/services.ts";
import type { ShimLog } from "../system/system.ts";
import type { Figures, TelemetryPart } from "./part.ts";
import { SandboxerTelemetry } from "./sandboxer-telemetry.ts";

const log = { log: () => {}, queuedBytes: 7 } as unknown as ShimLog;
const asked = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" };

function setUp(env: NodeJS.ProcessEnv = asked) {
  const told: string[] = [];
  const started: Parameters<TelemetryPart["startTelemetry"]>[0][] = [];
  const part: TelemetryPart = {
    startTelemetry: (options) => {
      started.push(options);
      return {
        began: ({ name }, _at, _spanId, of) => void told.push(`${name} ${JSON.stringify(of)}`),
        ended: () => {},
        stateChanged: () => {},
        occurred: () => {},
        traceContextOf: () => undefined,
        stop: async () => {},
      };
    },
  };
  const options = { name: "shim", version: "1", loadTelemetry: async () => part };
  const clock = new ManualClock();
  const telemetry = SandboxerTelemetry.wanted({ options, env, socket: "/run/s", log, clock });
  return { telemetry, told, started, clock };
}

function services(events: number, figures: Partial<Figures> = {}): Pick<Services, "figures"> {
  const none = { pods: 1, vms: 1, containers: 0, processes: 0, pendingRequests: 0 };
  return { figures: () => ({ ...none, ...figures, queued: { events, bytes: 10 * events } }) };
}

const working = (scope: ObservationScope, name: string): Promise<void> =>
  scope.run(() => observe({ kind: "request", name }, async () => {}));

it("says of what is done for a pod which pod that is, and nothing of a pod that has gone", async () => {
  const { telemetry, told, started, clock } = setUp();
  const scopes = [new ObservationScope(), new ObservationScope()] as const;
  const watch = (scope: ObservationScope, id: string) =>
    scope.run(() => telemetry?.watchPod({ namespace: "k8s.io", id }));
  const [one] = [watch(scopes[0], "s1"), watch(scopes[1], "s2")];
  telemetry?.begin();
  await working(scopes[0], "early");
  expect(started).toEqual([]);
  await clock.advance(2000);
  await working(scopes[1], "later");
  one?.end();
  await working(scopes[0], "gone");
  const of = (id: string): string => `{"containerd.namespace":"k8s.io","uvm_shim.sandbox.id":"${id}"}`;
  expect(told).toEqual([`early ${of("s1")}`, `later ${of("s2")}`]);
  expect(started).toMatchObject([{ resource: { "service.instance.id": "/run/s" } }]);
  await telemetry?.stop();
  await working(scopes[1], "after the end");
  expect(told).toHaveLength(2);
});

it("sums the figures of its pods up, those whose services are loaded", async () => {
  const { telemetry, started, clock } = setUp();
  const pods = ["s1", "s2", "s3"].map((id) => telemetry?.watchPod({ namespace: "k8s.io", id }));
  pods[0]?.begin(services(2, { containers: 3, processes: 4 }));
  pods[1]?.begin(services(1, { vms: 0, pendingRequests: 5 }));
  telemetry?.begin();
  await clock.advance(2000);
  expect(started[0]?.figures()).toEqual({
    ...{ pods: 2, vms: 1, containers: 3, processes: 4, pendingRequests: 5, queuedEvents: 3 },
    queuedBytes: { stdio: 0, log: 7, events: 30 },
  });
  pods[0]?.end();
  pods[0]?.end();
  expect(started[0]?.figures()).toMatchObject({ pods: 1, containers: 0, queuedEvents: 1 });
  await telemetry?.stop();
});

it("is not loaded, nor observes, unless the environment asks for it", () => {
  expect(setUp({}).telemetry).toBeUndefined();
  expect(setUp({ ...asked, OTEL_SDK_DISABLED: "true" }).telemetry).toBeUndefined();
});
