import type { Duplex } from "node:stream";
import { powerWords } from "@uvm-shim/host-protocol/guest";
import { HcsFailure } from "../hcs-failure.ts";

/**
 * Tells the guest at the other end of the power line that its processes are in other cgroups, and waits until it sees
 * them. HcsFailure if it does not say so in time.
 */
export function regroup(line: Duplex, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      line.off("data", onData).off("close", onClose).resume();
    };
    const fail = (result: "HCS_E_CONNECTION_TIMEOUT" | "HCS_E_UNEXPECTED_EXIT", message: string): void => {
      settle();
      reject(new HcsFailure(result, message));
    };
    // As at the boot: one of the callbacks of this promise, all of which take the others away at once.
    const timer = setTimeout(
      () => fail("HCS_E_CONNECTION_TIMEOUT", `the guest did not take its new cgroups within ${timeoutMs} ms`),
      timeoutMs,
    );
    const onData = (chunk: Buffer): void => {
      if (chunk.toString("latin1") !== `${powerWords.regrouped}\n`) return;
      settle();
      resolve();
    };
    const onClose = (): void => fail("HCS_E_UNEXPECTED_EXIT", "the guest ended while it was moved to other cgroups");
    line.on("data", onData);
    line.on("close", onClose);
    line.write(`${powerWords.regroup}\n`);
  });
}
