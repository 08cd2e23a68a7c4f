import { setTimeout as delay } from "node:timers/promises";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import type { HostileGuest } from "./hostile-guest.ts";

const dialPauseMs = 100;

/** As a guest boots that means well: it takes entropy and a log, and dials the bridge whenever there is none. */
export async function bootOrdinarily(guest: HostileGuest): Promise<void> {
  const entropy = await guest.dial(linuxVsockPorts.entropy);
  entropy.resume();
  guest.log = await guest.dial(linuxVsockPorts.log);
  guest.log.resume();
  guest.log.write(`${JSON.stringify({ level: "info", msg: "guest is up" })}\n`);
  for (;;) {
    try {
      await guest.dialBridge();
      await new Promise((resolve) => guest.bridge?.once("close", resolve));
    } catch {
      // Nobody listens any more, or not yet.
    }
    await delay(dialPauseMs);
  }
}
