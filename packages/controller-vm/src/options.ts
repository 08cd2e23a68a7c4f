import type { Clock } from "@uvm-shim/lifecycle";
import type { GuestConnector, GuestLogLine, VmDevices, VmFlavour, VmGuest, VmHost } from "./types.ts";

/** What a `VmController` is made from. */
export interface VmControllerOptions<Guest extends VmGuest, Scsi, Plan9 = never, Vpci = never, Vsmb = never> {
  /** Id of the compute system. */
  readonly id: string;
  readonly host: VmHost;
  readonly connectGuest: GuestConnector<Guest>;
  /** `linuxVm` or `windowsVm`. */
  readonly flavour: VmFlavour<Guest>;
  readonly clock: Clock;
  readonly onGuestLog: (line: GuestLogLine) => void;
  readonly devices: VmDevices<Guest, Scsi, Plan9, Vpci, Vsmb>;
  /** Bound from the start of the compute system to the end of the negotiation, in milliseconds; default 2 minutes. */
  readonly startTimeoutMs?: number;
  /**
   * Bound for the host to end the VM and report its exit, and again to release it, in milliseconds; default 10 seconds.
   */
  readonly exitTimeoutMs?: number;
}
