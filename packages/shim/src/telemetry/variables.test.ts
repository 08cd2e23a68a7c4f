import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { telemetryVariables } from "./variables.ts";

const endpoint = "http://127.0.0.1:4318";
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "telemetry-"));
  file = path.join(folder, "telemetry.env");
});

afterEach(() => rmSync(folder, { recursive: true }));

const read = (env: NodeJS.ProcessEnv) => telemetryVariables({ UVM_SHIM_TELEMETRY_FILE: file, ...env });

describe("the variables of telemetry", () => {
  it("are those of the environment whose names are OpenTelemetry's", () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: "", PATH: "/bin", otel_x: "1" };
    expect(read(env)).toEqual({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  });

  it.each(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"])("ask for it by %s", (name) => {
    expect(read({ [name]: endpoint })).toBeDefined();
  });

  it.each([
    ["there is none", {}],
    ["there is no endpoint", { OTEL_SERVICE_NAME: "shim" }],
    ["the endpoint is empty", { OTEL_EXPORTER_OTLP_ENDPOINT: " " }],
    ["it is switched off", { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: "True" }],
  ])("do not ask for it when %s", (_when, env) => {
    expect(read(env)).toBeUndefined();
  });

  it("may be in a file, below those of the environment", () => {
    const lines = [
      "# a comment",
      `OTEL_EXPORTER_OTLP_ENDPOINT="${endpoint}"`,
      "OTEL_SERVICE_NAME = file",
      "PATH=/",
      "x",
    ];
    writeFileSync(file, lines.join("\n"));
    expect(read({ OTEL_SERVICE_NAME: "environment" })).toEqual({
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_SERVICE_NAME: "environment",
    });
  });
});
