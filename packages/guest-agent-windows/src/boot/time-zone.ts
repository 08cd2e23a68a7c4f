/** The time zone that a host gives its guest, as a file for the C library, which Wine asks. */
import type { SystemTime, TimeZoneInformation } from "@uvm-shim/hcs-schema";

const lastWeek = 5;
const headBytes = 44;
/** The year 1900, in seconds since 1970. */
const longAgo = Buffer.alloc(8);
longAgo.writeBigInt64BE(-2_208_988_800n);

/** The rule of POSIX for the zone. Windows adds its biases to local time to get UTC, as POSIX does. */
export function posixRule(zone: TimeZoneInformation): string {
  const { Bias = 0, StandardBias = 0, DaylightBias = 0, StandardDate, DaylightDate } = zone;
  const standard = `<std>${offset(Bias + StandardBias)}`;
  // A month of 0: the zone has no daylight saving time.
  if ((StandardDate.Month ?? 0) === 0 || (DaylightDate.Month ?? 0) === 0) return standard;
  return `${standard}<dst>${offset(Bias + DaylightBias)},${date(DaylightDate)},${date(StandardDate)}`;
}

/**
 * A file of version 2, whose last line is the rule. See RFC 8536. It has one transition, since the GNU library looks at the
 * rule only after the last one.
 */
export function zoneFile(zone: TimeZoneInformation): Buffer {
  const transition = Buffer.alloc(longAgo.length + 1);
  longAgo.copy(transition);
  // One type: UTC+0, no daylight saving time, named by the first of the names.
  const types = Buffer.concat([Buffer.alloc(6), Buffer.from("std\0", "latin1")]);
  const rule = Buffer.from(`\n${posixRule(zone)}\n`, "latin1");
  return Buffer.concat([head(0), types, head(1), transition, types, rule]);
}

function head(transitions: number): Buffer {
  const bytes = Buffer.alloc(headBytes);
  bytes.write("TZif2", "latin1");
  bytes.writeUInt32BE(transitions, 32);
  bytes.writeUInt32BE(1, 36);
  bytes.writeUInt32BE(4, 40);
  return bytes;
}

function offset(minutes: number): string {
  const [hours, rest] = [Math.trunc(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${minutes < 0 ? "-" : ""}${hours}${rest === 0 ? "" : `:${String(rest).padStart(2, "0")}`}`;
}

/** `Day` is the number of the week, of which the fifth is the last one of the month in both. */
function date({ Month = 0, Day = 0, DayOfWeek = 0, Hour = 0, Minute = 0 }: SystemTime): string {
  return `M${Month}.${Math.min(Math.max(Day, 1), lastWeek)}.${DayOfWeek}/${Hour}:${String(Minute).padStart(2, "0")}`;
}
