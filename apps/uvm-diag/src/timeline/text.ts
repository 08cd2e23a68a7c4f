import { calendarDay, clockTime, duration, offset } from "../output/duration.ts";
import { cut, type Output, type Style } from "../output/output.ts";
import { plain } from "../output/plain.ts";
import { axisOf } from "./axis.ts";
import { aboutText, attributesText, hasFailed, innermostFailures, podTitle, shimTitle, tookText } from "./describe.ts";
import { rowsOf } from "./rows.ts";
import { onlyWaits, type Span, type Timeline } from "./timeline.ts";

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const usualWidth = 110;
const mostRows = 300;
const widestName = 44;
const figures = 10;

const styles: Readonly<Record<Span["kind"], Style>> = {
  request: "blue",
  phase: "green",
  "host-call": "yellow",
  "guest-request": "magenta",
};

/** The timeline as lines with bars. */
export function writeTimeline(output: Output, timeline: Timeline): void {
  const width = Math.max(70, Math.min(output.width ?? usualWidth, 200));
  const { rows, omitted } = rowsOf(timeline.spans, mostRows);
  const names = rows.map(({ span, depth }) =>
    plain(`${"  ".repeat(depth)}${span.name} ${aboutText(span, timeline)}`.trimEnd()),
  );
  const nameWidth = Math.min(widestName, Math.floor(width * 0.4), Math.max(10, ...names.map(({ length }) => length)));
  const barWidth = width - nameWidth - 2 * (figures + 1) - 1;
  const axis = axisOf(timeline, Math.max(2, Math.floor(barWidth / 12)));
  const { began } = timeline;
  output.line(`${output.style("bold", plain(podTitle(timeline)))}  ${output.style("dim", plain(shimTitle(timeline)))}`);
  output.line(`began ${calendarDay(began)} ${clockTime(began)} UTC, ${duration(timeline.length)}`);
  output.line(
    Object.entries(styles)
      .map(([kind, style]) => `${output.style(style, "█")} ${kind.replace("-", " ")}`)
      .join("  "),
  );
  output.line();
  const ruler = " ".repeat(nameWidth + 2 * (figures + 1) + 1);
  output.line(ruler + output.style("dim", rulerText(axis.ticks, barWidth)));
  rows.forEach(({ span }, index) => {
    const name = cut(names[index] ?? "", nameWidth).padEnd(nameWidth);
    const failed = hasFailed(span);
    const shown = barText(axis.position(span.start) * barWidth, axis.position(span.until) * barWidth, barWidth, span);
    const bar = output.style(failed ? "red" : styles[span.kind], shown);
    const took = tookText(span).padStart(figures);
    output.line(
      `${failed ? output.style("red", name) : name} ${offset(span.start).padStart(figures)} ${took} ${bar}`.trimEnd(),
    );
  });
  if (omitted > 0) output.line(output.style("dim", `${omitted} short steps are left out`));
  if (timeline.omitted > 0) output.line(output.style("dim", `${timeline.omitted} lines were left out of the record`));
  for (const { from, to } of axis.breaks) {
    output.line(
      output.style("dim", `nothing happened for ${duration(to - from)} from ${offset(from)} on: drawn narrow`),
    );
  }
  if (timeline.marks.length > 0) {
    output.line();
    for (const mark of timeline.marks) {
      const text = plain(`${mark.name} ${attributesText(mark.attributes)}`.trimEnd());
      output.line(`${offset(mark.at).padStart(figures)}  ${mark.isBad ? output.style("red", text) : text}`);
    }
  }
  const failures = innermostFailures(timeline.spans);
  if (failures.length > 0) output.line();
  for (const { name, error } of failures) {
    output.line(output.style("red", plain(`${name} failed: ${error?.message} (${error?.code})`)));
  }
}

function barText(from: number, to: number, width: number, span: Span): string {
  const start = Math.min(Math.floor(from), width - 1);
  const length = Math.max(0, Math.min(to, width) - start);
  const whole = Math.floor(length);
  if (onlyWaits(span)) return `${" ".repeat(start)}${"·".repeat(Math.max(1, whole))}`;
  const part = eighths[Math.round((length - whole) * 8)] ?? "█";
  const bar = "█".repeat(whole) + part;
  return `${" ".repeat(start)}${bar === "" ? "▏" : bar}${span.took === undefined ? "…" : ""}`;
}

function rulerText(ticks: readonly { readonly at: number; readonly position: number }[], width: number): string {
  let line = "";
  for (const { at, position } of ticks) {
    const column = Math.floor(position * width);
    const label = `╵${offset(at)}`;
    if (column < line.length + (line === "" ? 0 : 1) || column + label.length > width) continue;
    line = line.padEnd(column) + label;
  }
  return line;
}
