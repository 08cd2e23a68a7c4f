import { duration, offset } from "../output/duration.ts";
import { cut } from "../output/output.ts";
import type { Axis } from "./axis.ts";
import { aboutText, attributesText, hasFailed, tookText } from "./describe.ts";
import { element, type Markup, markup } from "./markup.ts";
import type { SpanRow } from "./rows.ts";
import { type Mark, onlyWaits, type Span, type Timeline } from "./timeline.ts";

/** Sizes in pixels of the drawing; the page scales it. */
export const pictureWidth = 1280;
const nameWidth = 330;
const figureWidth = 74;
const left = nameWidth + figureWidth;
const right = 16;
const chart = pictureWidth - left - right;
const rowHeight = 22;
const barHeight = 13;
const axisHeight = 26;
const markRow = 17;
const mostMarkRows = 5;
const indentWidth = 13;
/** Letters that fit beside a bar of the usual font. */
const letterWidth = 6.6;

/** The picture: a lane of instants, and a row with a bar for each piece of work, on one axis of time. */
export function pictureOf(timeline: Timeline, rows: readonly SpanRow[], axis: Axis): Markup {
  const x = (at: number): number => left + axis.position(at) * chart;
  const marks = placeMarks(timeline.marks, x);
  const markHeight = marks.lanes === 0 ? 0 : marks.lanes * markRow + 8;
  const top = axisHeight + markHeight;
  const height = top + rows.length * rowHeight + 10;
  const label = `Timeline of ${rows.length} pieces of work in ${duration(timeline.length)}`;
  return element(
    "svg",
    { viewBox: `0 0 ${pictureWidth} ${height}`, role: "img", "aria-label": label, class: "timeline" },
    [
      ...rows.flatMap((_, index) =>
        index % 2 === 0
          ? [
              element("rect", {
                class: "stripe",
                x: 0,
                y: top + index * rowHeight,
                width: pictureWidth,
                height: rowHeight,
              }),
            ]
          : [],
      ),
      ...axisMarkup(axis, x, height),
      ...marks.placed.map((placed) => markMarkup(placed, axisHeight, height)),
      ...rows.map((row, index) => rowMarkup(row, top + index * rowHeight, x, timeline)),
    ],
  );
}

function axisMarkup(axis: Axis, x: (at: number) => number, height: number): Markup[] {
  let free = 0;
  const ticks = axis.ticks.flatMap(({ at }) => {
    const text = offset(at);
    const where = x(at);
    const half = (text.length * letterWidth) / 2;
    if (where - half < free || where + half > pictureWidth) return [];
    free = where + half + 8;
    return [
      element("line", { class: "grid", x1: where, x2: where, y1: axisHeight - 5, y2: height }),
      element("text", { class: "tick", x: where, y: axisHeight - 10, "text-anchor": "middle" }, [text]),
    ];
  });
  const breaks = axis.breaks.flatMap(({ from, to, position, width }) => {
    const where = left + position * chart;
    return [
      element(
        "rect",
        { class: "break", x: where, y: axisHeight - 5, width: width * chart, height: height - axisHeight },
        [title(`Nothing happened for ${duration(to - from)}.`)],
      ),
      element(
        "text",
        {
          class: "pause",
          "text-anchor": "middle",
          transform: `translate(${round(where + (width * chart) / 2 + 4)} ${round(height / 2)}) rotate(-90)`,
        },
        [`${duration(to - from)} without work`],
      ),
    ];
  });
  return [...breaks, ...ticks];
}

function rowMarkup({ span, depth }: SpanRow, y: number, x: (at: number) => number, timeline: Timeline): Markup {
  const indent = 8 + depth * indentWidth;
  const letters = Math.floor((nameWidth - indent - 8) / letterWidth);
  const name = shortened(span.name, aboutText(span, timeline), letters);
  const failed = hasFailed(span);
  const [from, to] = [x(span.start), x(span.until)];
  const width = Math.max(2, to - from);
  const middle = y + rowHeight / 2;
  const classes = ["bar", span.kind, ...(onlyWaits(span) ? ["waits"] : []), ...(failed ? ["failed"] : [])];
  if (span.took === undefined) classes.push("open");
  return element("g", { class: failed ? "row bad" : "row" }, [
    title(descriptionOf(span)),
    element("rect", { class: "target", x: 0, y, width: pictureWidth, height: rowHeight }),
    ...(depth > 0 ? [element("path", { class: "branch", d: `M${indent - 7} ${y} V${middle} H${indent - 2}` })] : []),
    element("text", { class: "name", x: indent, y: middle + 4 }, [
      name.main,
      ...(name.rest === "" ? [] : [element("tspan", { class: "rest" }, [` ${name.rest}`])]),
    ]),
    element("text", { class: "took", x: left - 10, y: middle + 4, "text-anchor": "end" }, [tookText(span)]),
    element("rect", { class: classes.join(" "), x: from, y: middle - barHeight / 2, width, height: barHeight, rx: 2 }),
    ...(failed ? [errorMarkup(span.error?.message ?? "", from, to, middle)] : []),
  ]);
}

/** The failure beside the bar, on the side that has room for it. */
function errorMarkup(message: string, from: number, to: number, middle: number): Markup {
  const free = { after: pictureWidth - right - to - 8, before: from - left - 8 };
  const isAfter = free.after >= Math.min(free.before, 260);
  const letters = Math.floor((isAfter ? free.after : free.before) / letterWidth);
  const text = cut(message, letters);
  const place = isAfter ? { x: to + 8 } : { x: from - 8, "text-anchor": "end" };
  return element("text", { class: "error", y: middle + 4, ...place }, [letters < 6 ? "" : text]);
}

function shortened(name: string, about: string, letters: number): { readonly main: string; readonly rest: string } {
  const main = cut(name, Math.max(2, letters));
  const room = letters - main.length - 1;
  if (room < 4 || about === "") return { main, rest: "" };
  return { main, rest: cut(about, room) };
}

function descriptionOf(span: Span): string {
  const lines = [`${span.kind.replace("-", " ")}: ${span.name}`, attributesText(span.attributes)];
  lines.push(`from ${offset(span.start)} on, ${span.took === undefined ? "its end is not known" : tookText(span)}`);
  if (span.error !== undefined) lines.push(`${span.error.code}: ${span.error.message}`);
  if (span.activityId !== undefined) lines.push(`activity ${span.activityId}`);
  return lines.filter((line) => line !== "").join("\n");
}

interface PlacedMark {
  readonly mark: Mark;
  readonly where: number;
  readonly lane: number;
  readonly text: string;
  readonly isLeft: boolean;
}

/** Labels of instants in as few lanes as they need not to overlap; beyond a few lanes only the instant is drawn. */
function placeMarks(
  marks: readonly Mark[],
  x: (at: number) => number,
): { readonly placed: readonly PlacedMark[]; readonly lanes: number } {
  const taken: [number, number][][] = [];
  const placed = marks
    .toSorted((one, other) => one.at - other.at)
    .map((mark) => {
      const where = x(mark.at);
      const text = mark.name;
      const length = text.length * letterWidth + 16;
      const isLeft = where + length > pictureWidth - right;
      const [from, to] = isLeft ? [where - length, where + 6] : [where - 6, where + length];
      let lane = taken.findIndex((spots) => spots.every(([start, end]) => to < start || from > end));
      if (lane < 0) lane = taken.length;
      if (lane >= mostMarkRows) return { mark, where, lane: mostMarkRows - 1, text: "", isLeft };
      taken[lane] = [...(taken[lane] ?? []), [from, to]];
      return { mark, where, lane, text, isLeft };
    });
  return { placed, lanes: taken.length };
}

function markMarkup({ mark, where, lane, text, isLeft }: PlacedMark, top: number, height: number): Markup {
  const y = top + lane * markRow + markRow / 2;
  const side = isLeft ? { x: where - 9, "text-anchor": "end" } : { x: where + 9 };
  return element("g", { class: mark.isBad ? "mark bad" : "mark" }, [
    title(`${mark.name} at ${offset(mark.at)}\n${attributesText(mark.attributes)}`.trimEnd()),
    element("line", { x1: where, x2: where, y1: y, y2: height }),
    element("path", { d: `M${round(where)} ${y - 5} l5 5 l-5 5 l-5 -5 z` }),
    ...(text === "" ? [] : [element("text", { y: y + 4, ...side }, [text])]),
  ]);
}

function title(text: string): Markup {
  return element("title", {}, [markup(text)]);
}

function round(figure: number): number {
  return Math.round(figure * 10) / 10;
}
