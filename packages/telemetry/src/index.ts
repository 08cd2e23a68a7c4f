export { startTelemetry } from "./telemetry.ts";
export type { Figures, Telemetry, TelemetryOptions } from "./types.ts";
