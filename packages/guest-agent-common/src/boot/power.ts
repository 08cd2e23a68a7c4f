/** The power line to the emulated host, and the first connection to what listens there. */
import { Socket } from "node:net";
import { powerDescriptor, powerWords } from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";

/** The host is dialled until it answers or turns the power off: a new shim may take over the VM. */
const dialPauseMs = 100;

/**
 * Reports to the emulated host that the guest is up. The host turns the power off by closing the connection. `regroup` is
 * called when it has moved the guest to other cgroups; what it throws ends the guest.
 */
export function reportPower(regroup: () => void): void {
  const power = new Socket({ fd: powerDescriptor, readable: true, writable: true });
  const off = (): never => process.exit(0);
  power.on("end", off);
  power.on("close", off);
  power.on("error", off);
  power.on("data", (chunk: Buffer) => {
    if (chunk.toString("latin1") !== `${powerWords.regroup}\n`) return;
    regroup();
    power.write(`${powerWords.regrouped}\n`);
  });
  power.write(`${powerWords.up}\n`);
}

/** Calls until a call succeeds. */
export async function dialPersistently(dial: () => Promise<Socket>): Promise<Socket> {
  for (;;) {
    try {
      return await dial();
    } catch {
      await delay(dialPauseMs);
    }
  }
}
