/** What telemetry adds to a container's run: the same containerd and shims, which find its variables in a file or do not. */
import { rmSync, writeFileSync } from "node:fs";
import { mustRun } from "@uvm-shim/test-support/command";
import { OtlpReceiver } from "@uvm-shim/test-support/otlp-receiver";
import { interleave } from "./statistics.ts";

export interface TelemetryCost {
  readonly on: readonly number[];
  readonly off: readonly number[];
  readonly spans: number;
}

/** @param file that the shims' `UVM_SHIM_TELEMETRY_FILE` names. */
export async function measureTelemetry(
  pairs: number,
  file: string,
  run: () => Promise<number>,
): Promise<TelemetryCost> {
  // The receiver is on the loopback device of this network namespace.
  await mustRun("ip", ["link", "set", "lo", "up"]);
  await using receiver = await OtlpReceiver.listen();
  const on = async (): Promise<number> => {
    writeFileSync(file, `OTEL_EXPORTER_OTLP_ENDPOINT=${receiver.endpoint}\n`);
    return await run();
  };
  const off = async (): Promise<number> => {
    rmSync(file, { force: true });
    return await run();
  };
  for (const one of [on, off]) await one();
  const { ours, peers } = await interleave(pairs, on, off);
  rmSync(file, { force: true });
  if (receiver.spans.length === 0 || receiver.problems.length > 0) {
    throw new Error(`the receiver got ${receiver.spans.length} spans; ${receiver.problems.join(", ")}`);
  }
  return { on: ours, off: peers, spans: receiver.spans.length };
}
