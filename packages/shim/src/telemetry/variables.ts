import { readFileSync } from "node:fs";
import path from "node:path";
import type { TelemetryVariables } from "./part.ts";

const own = /^OTEL_[A-Z0-9_]+$/;
const endpoints = [
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
  "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
];

/**
 * The variables that ask for telemetry, or undefined. Those of the environment, which containerd passes on from its own,
 * go before those of a file, for containerds whose environment is not for its shims or cannot be changed.
 */
export function telemetryVariables(env: NodeJS.ProcessEnv): TelemetryVariables | undefined {
  const variables = { ...fromFile(telemetryFile(env)), ...fromEnvironment(env) };
  if (variables.OTEL_SDK_DISABLED?.trim().toLowerCase() === "true") return undefined;
  return endpoints.some((name) => (variables[name] ?? "").trim() !== "") ? variables : undefined;
}

function telemetryFile({ UVM_SHIM_TELEMETRY_FILE: file, ProgramData: programData }: NodeJS.ProcessEnv): string {
  if (file !== undefined && file !== "") return file;
  if (process.platform !== "win32") return "/etc/uvm-shim/telemetry.env";
  return path.join(programData ?? "C:\\ProgramData", "uvm-shim", "telemetry.env");
}

function fromEnvironment(env: NodeJS.ProcessEnv): TelemetryVariables {
  const found = Object.entries(env).filter(([name, value]) => own.test(name) && value !== undefined && value !== "");
  return Object.fromEntries(found) as TelemetryVariables;
}

/** Lines `OTEL_NAME=value`, as systemd reads them from an EnvironmentFile, without escapes. */
function fromFile(file: string): TelemetryVariables {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return {};
  }
  const variables: { [name: string]: string } = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name = "", value = ""] = /^\s*([A-Za-z0-9_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (own.test(name)) variables[name] = value.replace(/^(["'])(.*)\1$/, "$2");
  }
  return variables;
}
