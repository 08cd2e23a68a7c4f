import { systemClock } from "@uvm-shim/lifecycle";
import { type Log, randomBytes, randomUuid } from "@uvm-shim/shim";

/** What a connection to a guest needs of its VM. */
export interface GuestConnectionParts<Listener> {
  /** The VM, which listens for its guest's connections. */
  readonly system: { listen(port: number): Promise<Listener> };
  readonly guestLog: Log;
}

/** What every guest's end of the bridge is made with. */
export function guestConnectionOptions<Listener>({ system, guestLog }: GuestConnectionParts<Listener>) {
  return {
    listen: (port: number) => system.listen(port),
    newActivityId: randomUuid,
    firstMessageId: BigInt(randomBytes(4).readUInt32BE() >>> 1) << 32n,
    delay: systemClock.delay,
    log: guestLog,
  };
}
