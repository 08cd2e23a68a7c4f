/** This machine's time zone in the terms of Windows. */
import type { SystemTime, TimeZoneInformation } from "@uvm-shim/hcs-schema";

const msPerMinute = 60_000;
const msPerDay = 24 * 60 * msPerMinute;

/**
 * The zone's rules in the year of `now`. Windows counts minutes from local time to UTC, and names a change by the weekday
 * and the week of its month, the fifth being the last. Zeros are left out, as by who reads Windows' own answer.
 */
export function timeZoneAt(now: Date): TimeZoneInformation {
  const changes = changesIn(now.getFullYear());
  const offsets = changes.flatMap(({ before, after }) => [before, after]);
  const standard = Math.max(...offsets, ...(offsets.length === 0 ? [now.getTimezoneOffset()] : []));
  const toStandard = changes.find(({ after }) => after === standard);
  const toDaylight = changes.find(({ after }) => after !== standard);
  const daylight = toDaylight?.after ?? standard;
  const january = new Date(now.getFullYear(), 0, 1);
  const july = new Date(now.getFullYear(), 6, 1);
  const nameOf = (offset: number): string =>
    zoneName([january, july].find((date) => date.getTimezoneOffset() === offset) ?? now);
  return {
    ...(standard !== 0 && { Bias: standard }),
    StandardName: nameOf(standard),
    StandardDate: toStandard === undefined ? {} : dateOf(toStandard),
    DaylightName: nameOf(daylight),
    DaylightDate: toDaylight === undefined ? {} : dateOf(toDaylight),
    ...(daylight !== standard && { DaylightBias: daylight - standard }),
  };
}

interface Change {
  readonly at: Date;
  /** Minutes from local time to UTC. */
  readonly before: number;
  readonly after: number;
}

/** Zones that change twice a year at most are all that Windows can tell of. */
function changesIn(year: number): readonly Change[] {
  const changes: Change[] = [];
  const end = new Date(year + 1, 0, 1).getTime();
  for (let start = new Date(year, 0, 1).getTime(); start < end; start += msPerDay) {
    const [before, after] = [offsetAt(start), offsetAt(start + msPerDay)];
    if (before !== after) changes.push({ at: new Date(changeWithin(start, start + msPerDay)), before, after });
  }
  return changes.length === 2 ? changes : [];
}

/** The first minute with the later offset. */
function changeWithin(start: number, end: number): number {
  let [before, after] = [start, end];
  while (after - before > msPerMinute) {
    const middle = before + Math.floor((after - before) / 2 / msPerMinute) * msPerMinute;
    if (offsetAt(middle) === offsetAt(start)) before = middle;
    else after = middle;
  }
  return after;
}

function offsetAt(time: number): number {
  return new Date(time).getTimezoneOffset();
}

/** Windows names the hour on the clock that is changed. */
function dateOf({ at, before }: Change): SystemTime {
  const local = new Date(at.getTime() - before * msPerMinute);
  const daysInMonth = new Date(Date.UTC(local.getUTCFullYear(), local.getUTCMonth() + 1, 0)).getUTCDate();
  const isLast = local.getUTCDate() + 7 > daysInMonth;
  return withoutZeros({
    Month: local.getUTCMonth() + 1,
    DayOfWeek: local.getUTCDay(),
    Day: isLast ? 5 : Math.ceil(local.getUTCDate() / 7),
    Hour: local.getUTCHours(),
    Minute: local.getUTCMinutes(),
  });
}

function withoutZeros(time: SystemTime): SystemTime {
  return Object.fromEntries(Object.entries(time).filter(([, value]) => value !== 0));
}

function zoneName(date: Date): string {
  const parts = new Intl.DateTimeFormat("en-US", { timeZoneName: "long" }).formatToParts(date);
  return parts.find(({ type }) => type === "timeZoneName")?.value ?? "Coordinated Universal Time";
}
