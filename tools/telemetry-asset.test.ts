import { getAsset, isSea } from "node:sea";
import { afterEach, expect, it, vi } from "vitest";
import { loadTelemetry } from "../packages/platform-common/src/parts.ts";
import type { TelemetryPart } from "../packages/shim/src/index.ts";
import type * as telemetryPackage from "../packages/telemetry/src/index.ts";
import { OtlpReceiver } from "../packages/test-support/src/otlp-receiver.ts";
import { bundleProgram } from "./bundle.ts";
import { findProgram } from "./programs.ts";

vi.mock("node:sea", () => ({ getAsset: vi.fn(), isSea: vi.fn() }));

/** The compiler proves that the package is what the shim requires. */
const asRequired = (part: typeof telemetryPackage): TelemetryPart => part;

afterEach(() => vi.resetAllMocks());

it("exports when it is an asset of a single executable, which has no loader for imports", async () => {
  const { code } = await bundleProgram(findProgram("telemetry"), "win32");
  vi.mocked(isSea).mockReturnValue(true);
  vi.mocked(getAsset).mockReturnValue(Buffer.from(code).toString("utf8") as unknown as ReturnType<typeof getAsset>);
  await using receiver = await OtlpReceiver.listen();
  const { startTelemetry } = asRequired((await loadTelemetry()) as typeof telemetryPackage);
  const none = { pods: 0, vms: 0, containers: 0, processes: 0, pendingRequests: 0, queuedEvents: 0 };
  const telemetry = startTelemetry({
    variables: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint },
    service: { name: "shim", version: "1" },
    resource: {},
    log: () => {},
    clock: { now: () => new Date(), delay: () => new Promise(() => {}) },
    figures: () => ({ ...none, queuedBytes: { stdio: 0, log: 0, events: 0 } }),
  });
  const boot = { kind: "phase", name: "boot", attributes: {}, activityId: undefined, parent: undefined } as const;
  const observation = { ...boot, traceParent: undefined, traceState: undefined };
  telemetry.began(observation, 1000);
  telemetry.ended(observation, undefined, 2000);
  await telemetry.stop(500);
  expect(vi.mocked(getAsset)).toHaveBeenCalledWith("telemetry.cjs", "utf8");
  expect(receiver.spans.map(({ name }) => name)).toEqual(["boot"]);
  expect(receiver.last("uvm_shim.pods")).toBeDefined();
});
