const units = [
  { milliseconds: 86_400_000, name: "d" },
  { milliseconds: 3_600_000, name: "h" },
  { milliseconds: 60_000, name: "min" },
] as const;

/** Three digits at most, and never two units where one says enough: `12 ms`, `1.24 s`, `3 min 5 s`, `2 d 4 h`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 0) return `-${duration(-milliseconds)}`;
  if (milliseconds < 10) return `${trimmed(milliseconds.toFixed(1))} ms`;
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 9_995) return `${(milliseconds / 1000).toFixed(2)} s`;
  if (milliseconds < 59_950) return `${(milliseconds / 1000).toFixed(1)} s`;
  let [index, left] = [units.findIndex((unit) => milliseconds >= unit.milliseconds), milliseconds];
  if (index < 0) index = units.length - 1;
  const unit = units[index] ?? units[2];
  const smaller = units[index + 1] ?? { milliseconds: 1000, name: "s" };
  left = Math.round(left / smaller.milliseconds);
  const ratio = unit.milliseconds / smaller.milliseconds;
  const [whole, rest] = [Math.floor(left / ratio), left % ratio];
  return rest === 0 ? `${whole} ${unit.name}` : `${whole} ${unit.name} ${rest} ${smaller.name}`;
}

function trimmed(figure: string): string {
  return figure.replace(/\.0$/, "");
}

/** How long after a beginning something was; from a minute on as on a stopwatch, to a tenth of a second. */
export function offset(milliseconds: number): string {
  const tenths = Math.round(milliseconds / 100);
  if (tenths < 600) return duration(milliseconds);
  const [minutes, seconds] = [Math.floor(tenths / 600), ((tenths % 600) / 10).toFixed(1).padStart(4, "0")];
  if (minutes < 60) return `${minutes}:${seconds}`;
  return `${Math.floor(minutes / 60)}:${`${minutes % 60}`.padStart(2, "0")}:${seconds}`;
}

/** How long ago something was; undefined for what is no time. */
export function ago(time: string | undefined, now: Date): string | undefined {
  const at = Date.parse(time ?? "");
  if (Number.isNaN(at)) return undefined;
  const seconds = Math.floor(Math.max(0, now.getTime() - at) / 1000);
  if (seconds === 0) return "now";
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}

export function clockTime(time: Date): string {
  return time.toISOString().slice(11, 23);
}

export function calendarDay(time: Date): string {
  return time.toISOString().slice(0, 10);
}
