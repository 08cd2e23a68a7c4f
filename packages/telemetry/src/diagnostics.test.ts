import { diag } from "@opentelemetry/api";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { Diagnostics } from "./diagnostics.ts";

function make(variables: { readonly [name: string]: string } = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = (_level: string, message: string, fields?: object): void =>
    void lines.push([message, ...Object.values(fields ?? {})].join(" "));
  return { clock, lines, diagnostics: new Diagnostics({ clock, log, variables }) };
}

describe("problems of the exporter", () => {
  it("are reported three times a minute, the rest as a count", async () => {
    const { clock, lines, diagnostics } = make();
    for (let problem = 1; problem <= 5; problem += 1) diagnostics.warn(`problem ${problem}`);
    expect(lines).toEqual(["telemetry problem 1", "telemetry problem 2", "telemetry problem 3"]);
    await clock.advance(60_000);
    diagnostics.warn("problem 6");
    expect(lines.slice(3)).toEqual(["telemetry: more problems were left out 2", "telemetry problem 6"]);
  });

  it("repeat no header and no password", () => {
    const { lines, diagnostics } = make({
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20abcdef,x-key=ghijkl",
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-key=mnopqr",
    });
    diagnostics.warn("bad: Bearer abcdef, Bearer%20abcdef, ghijkl, mnopqr at http://user:pass@host:4318");
    const redacted = Array.from({ length: 4 }, () => "[redacted]").join(", ");
    expect(lines).toEqual([`telemetry bad: ${redacted} at http://[redacted]@host:4318`]);
  });

  it("are those that the library reports, without the collector's answer", () => {
    const { lines, diagnostics } = make();
    diagnostics.install();
    diag.error("export failed", Object.assign(new Error("Bad Request"), { data: "what the collector said" }), {});
    diag.info("of no interest");
    expect(lines).toEqual(["telemetry export failed Bad Request"]);
  });

  it("are short", () => {
    const { lines, diagnostics } = make();
    diagnostics.warn("x".repeat(10_000));
    expect(lines[0]?.length).toBeLessThan(500);
  });
});
