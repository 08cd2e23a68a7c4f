/** What a Windows guest requires of its surroundings. */
import type { GuestOptions } from "@uvm-shim/gcs-bridge";
import type { TimeZoneInformation } from "@uvm-shim/hcs-schema";

/** `listen` listens on the hvsocket service that stands for the port. */
export interface WindowsGuestOptions extends GuestOptions {
  /** The guest's time zone: the host's, or `utcTimeZone`. */
  readonly timeZone: TimeZoneInformation;
}
