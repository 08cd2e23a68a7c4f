import type { SystemTime, TimeZoneInformation } from "@uvm-shim/hcs-schema";
import { hostErrorOf } from "../../host-error.ts";
import type { Subject } from "../compute/call-results.ts";
import type { Kernel } from "../io/completion-port.ts";
import { systemStructures } from "../native/system-structures.ts";

const { TIME_ZONE_INFORMATION: timeZoneInformation } = systemStructures;

const TIME_ZONE_ID_INVALID = 0xffff_ffff;

/** The machine's time zone now. Zeros and empty names are left out. */
export function timeZoneOf(kernel: Kernel, subject: Subject): TimeZoneInformation {
  const memory = Buffer.alloc(timeZoneInformation.size);
  if (kernel.call("GetTimeZoneInformation", memory) === TIME_ZONE_ID_INVALID) {
    const hresult = 0x8007_0000 + kernel.call("GetLastError");
    throw hostErrorOf({ hresult, message: "the host rejected the call" }, subject);
  }
  const zone = timeZoneInformation.decode(memory);
  const date = (name: "StandardDate" | "DaylightDate"): SystemTime =>
    present({
      Year: zone[`${name}.wYear`],
      Month: zone[`${name}.wMonth`],
      DayOfWeek: zone[`${name}.wDayOfWeek`],
      Day: zone[`${name}.wDay`],
      Hour: zone[`${name}.wHour`],
      Minute: zone[`${name}.wMinute`],
      Second: zone[`${name}.wSecond`],
      Milliseconds: zone[`${name}.wMilliseconds`],
    });
  const { Bias, StandardName, StandardBias, DaylightName, DaylightBias } = zone;
  return {
    ...present({ Bias, StandardName, StandardBias, DaylightName, DaylightBias }),
    StandardDate: date("StandardDate"),
    DaylightDate: date("DaylightDate"),
  };
}

function present<Fields extends object>(fields: Fields): Partial<Fields> {
  const set = Object.entries(fields).filter(([, value]) => value !== 0 && value !== "");
  return Object.fromEntries(set) as Partial<Fields>;
}
