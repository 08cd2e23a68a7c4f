import { DiagLogLevel, diag } from "@opentelemetry/api";
import { setGlobalErrorHandler } from "@opentelemetry/core";
import type { TelemetryOptions } from "./types.ts";

/** A collector that is away is reported at each attempt to export. */
const mostLines = 3;
const periodMilliseconds = 60_000;
const longestLine = 400;

const shortestSecret = 4;

/** The library's own messages as lines of the shim's log: few of them, and without secrets. */
export class Diagnostics {
  readonly #options: Pick<TelemetryOptions, "log" | "clock">;
  readonly #secrets: readonly string[];
  #periodBegan = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #omitted = 0;

  constructor(options: Pick<TelemetryOptions, "log" | "clock" | "variables">) {
    this.#options = options;
    this.#secrets = secretsOf(options.variables);
  }

  /** Makes the library report to this log. */
  install(): void {
    const say = (...parts: readonly unknown[]): void =>
      this.warn(
        parts
          .map(textOf)
          .filter((text) => text !== "")
          .join(" "),
      );
    const ignore = (): void => {};
    const logger = { error: say, warn: say, info: ignore, debug: ignore, verbose: ignore };
    diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
    setGlobalErrorHandler((error) => this.warn(textOf(error)));
  }

  warn(message: string): void {
    const now = this.#options.clock.now().getTime();
    if (now - this.#periodBegan >= periodMilliseconds || now < this.#periodBegan) this.#beginPeriod(now);
    this.#lines += 1;
    if (this.#lines > mostLines) {
      this.#omitted += 1;
      return;
    }
    this.#options.log("warn", "telemetry", { problem: this.#printable(message) });
  }

  #beginPeriod(now: number): void {
    if (this.#omitted > 0)
      this.#options.log("warn", "telemetry: more problems were left out", { count: this.#omitted });
    this.#periodBegan = now;
    this.#lines = 0;
    this.#omitted = 0;
  }

  #printable(message: string): string {
    let text = message.replace(/\/\/[^/@\s]*@/g, "//[redacted]@");
    for (const secret of this.#secrets) text = text.replaceAll(secret, "[redacted]");
    return text.length <= longestLine ? text : `${text.slice(0, longestLine)}…`;
  }
}

/** Errors of the library carry the collector's answer beside their message, which is left out. */
function textOf(value: unknown): string {
  if (value instanceof Error) return value.message === "" ? value.name : value.message;
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

/** The values of headers, longest first, as they are written and as they are sent. */
function secretsOf(variables: TelemetryOptions["variables"]): readonly string[] {
  const found = new Set<string>();
  for (const [name, value] of Object.entries(variables)) {
    if (!/^OTEL_EXPORTER_OTLP_([A-Z]+_)?HEADERS$/.test(name) || value === undefined) continue;
    for (const pair of value.split(",")) {
      const written = pair.slice(pair.indexOf("=") + 1).trim();
      for (const secret of [written, decoded(written)]) if (secret.length >= shortestSecret) found.add(secret);
    }
  }
  return [...found].toSorted((left, right) => right.length - left.length);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
