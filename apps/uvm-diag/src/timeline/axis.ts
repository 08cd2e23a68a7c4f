import { onlyWaits, type Span, type Timeline } from "./timeline.ts";

/** A stretch of time in which nothing happened, drawn narrow. */
export interface Break {
  readonly from: number;
  readonly to: number;
  /** Where it is on the axis, from 0 to 1. */
  readonly position: number;
  readonly width: number;
}

export interface Axis {
  /** Where an instant is, from 0 to 1. */
  position(at: number): number;
  readonly breaks: readonly Break[];
  /** Round times to name on the axis. */
  readonly ticks: readonly { readonly at: number; readonly position: number }[];
}

/** Shorter pauses are drawn as they are. */
const shortestBreak = 1000;
/** A pause is drawn narrow if it is this much of all the time that is not. */
const shareOfBreak = 0.15;
const widthOfBreak = 0.035;
const mostBreaks = 8;
const steps = [1, 2, 5];

/** The time axis of a timeline. A pod works for a second and then runs for days: pauses are cut out. */
export function axisOf(timeline: Timeline, mostTicks: number): Axis {
  const length = Math.max(timeline.length, 1);
  const pauses = pausesOf(timeline, length);
  const busy = Math.max(1, length - pauses.reduce((sum, [from, to]) => sum + to - from, 0));
  const scale = (1 - pauses.length * widthOfBreak) / busy;
  const position = (at: number): number => {
    let [spent, where] = [0, 0];
    for (const [from, to] of pauses) {
      if (at <= from) break;
      where += (from - spent) * scale;
      if (at < to) return where + ((at - from) / (to - from)) * widthOfBreak;
      where += widthOfBreak;
      spent = to;
    }
    return Math.min(1, Math.max(0, where + (at - spent) * scale));
  };
  const step = roundStep(busy / Math.max(1, mostTicks));
  const ticks: { at: number; position: number }[] = [];
  for (const [from, to] of stretchesBetween(pauses, length)) {
    const [first, last] = [Math.ceil(from / step), Math.floor(to / step)];
    for (let count = first; count <= last; count += 1)
      ticks.push({ at: count * step, position: position(count * step) });
  }
  return {
    position,
    breaks: pauses.map(([from, to]) => ({ from, to, position: position(from), width: widthOfBreak })),
    ticks,
  };
}

/** Pauses: from one instant at which something began, ended or happened to the next, with no work under way but waits. */
function pausesOf(timeline: Timeline, length: number): readonly (readonly [number, number])[] {
  const busy: [number, number][] = timeline.marks.map(({ at }) => [at, at]);
  const add = (span: Span): void => {
    if (onlyWaits(span)) busy.push([span.start, span.start], [span.until, span.until]);
    else busy.push([span.start, span.until]);
    span.parts.forEach(add);
  };
  timeline.spans.forEach(add);
  for (const { at } of timeline.changes) busy.push([at, at]);
  const pauses: [number, number][] = [];
  let until = 0;
  for (const [from, to] of [...busy, [length, length] as [number, number]].sort((one, other) => one[0] - other[0])) {
    if (from - until >= shortestBreak) pauses.push([until, from]);
    until = Math.max(until, to);
  }
  const longest = pauses.toSorted(([a, b], [c, d]) => d - c - (b - a)).slice(0, mostBreaks);
  const rest = length - longest.reduce((sum, [from, to]) => sum + to - from, 0);
  // Some room stays on both sides, so that what is short beside a pause does not touch it.
  const margin = Math.min(shortestBreak / 4, rest * 0.02 + 5);
  return longest
    .filter(([from, to]) => to - from > rest * shareOfBreak)
    .map(([from, to]) => [from + margin, to - margin] as [number, number])
    .sort((one, other) => one[0] - other[0]);
}

function stretchesBetween(
  pauses: readonly (readonly [number, number])[],
  length: number,
): readonly (readonly [number, number])[] {
  const stretches: [number, number][] = [];
  let from = 0;
  for (const [start, end] of pauses) {
    stretches.push([from, start]);
    from = end;
  }
  return [...stretches, [from, length]];
}

function roundStep(least: number): number {
  for (let power = 1; ; power *= 10) {
    for (const step of steps) if (step * power >= least) return step * power;
  }
}
