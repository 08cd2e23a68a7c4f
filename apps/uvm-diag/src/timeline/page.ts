import { calendarDay, clockTime, duration, offset } from "../output/duration.ts";
import { axisOf } from "./axis.ts";
import { aboutText, attributesText, innermostFailures, podTitle, shimTitle, tookText, unfinished } from "./describe.ts";
import { element, type Markup } from "./markup.ts";
import { pictureOf } from "./picture.ts";
import { rowsOf } from "./rows.ts";
import { onlyWaits, type Span, type Timeline } from "./timeline.ts";

const mostRows = 400;
const mostChanges = 500;
const longestListed = 10;

/** One self-contained page: no scripts, nothing from elsewhere, and a policy that allows neither. */
export function timelinePage(timeline: Timeline, made: { readonly by: string; readonly at: Date }): string {
  const { rows, omitted } = rowsOf(timeline.spans, mostRows);
  const axis = axisOf(timeline, 8);
  const page = element("html", { lang: "en" }, [
    element("head", {}, [
      element("meta", { charset: "utf-8" }),
      element("meta", {
        "http-equiv": "Content-Security-Policy",
        content: "default-src 'none'; style-src 'unsafe-inline'",
      }),
      element("meta", { name: "viewport", content: "width=device-width" }),
      element("title", {}, [`${podTitle(timeline)}: timeline`]),
      element("style", {}, [{ html: style }]),
    ]),
    element("body", {}, [
      element("header", {}, [
        element("h1", {}, [podTitle(timeline)]),
        element("p", { class: "from" }, [`${shimTitle(timeline)} · times are UTC`]),
      ]),
      factsOf(timeline),
      ...troublesOf(timeline),
      legend,
      element("figure", {}, [pictureOf(timeline, rows, axis)]),
      ...notesOf(timeline, omitted, axis.breaks.length > 0),
      ...longestOf(timeline),
      ...instantsOf(timeline),
      ...changesOf(timeline),
      element("footer", {}, [`Made by ${made.by} on ${calendarDay(made.at)} at ${clockTime(made.at)}.`]),
    ]),
  ]);
  return `<!doctype html>\n${page.html}\n`;
}

function factsOf(timeline: Timeline): Markup {
  const { began, length, header, spans, marks } = timeline;
  const ended = marks.find(({ name }) => name === "ending" || name === "vm exited");
  const vm = find(spans, (span) => span.name === "start VM");
  const first = find(spans, (span) => span.kind === "phase" && span.name === "start process");
  const facts: [string, string][] = [
    ["began", `${calendarDay(began)} ${clockTime(began)}`],
    ["recorded", duration(length)],
    ...(vm?.took === undefined ? [] : [["VM started in", duration(vm.took)] as [string, string]]),
    ...(first?.took === undefined
      ? []
      : [["first process after", offset(first.start + first.took)] as [string, string]]),
    ...(ended === undefined ? [] : [[ended.name, `after ${offset(ended.at)}`] as [string, string]]),
    ...(header === undefined ? [] : [["shim's process", `${header.pid}`] as [string, string]]),
  ];
  return element(
    "dl",
    { class: "facts" },
    facts.map(([name, value]) => element("div", {}, [element("dt", {}, [name]), element("dd", {}, [value])])),
  );
}

function find(spans: readonly Span[], wanted: (span: Span) => boolean): Span | undefined {
  for (const span of spans) {
    const found = wanted(span) ? span : find(span.parts, wanted);
    if (found !== undefined) return found;
  }
  return undefined;
}

function troublesOf(timeline: Timeline): Markup[] {
  const failed = innermostFailures(timeline.spans).map(
    ({ name, error, start }) => `${name} failed after ${offset(start)}: ${error?.message} (${error?.code})`,
  );
  const open = unfinished(timeline.spans)
    .filter((span) => !onlyWaits(span))
    .map((span) => `${span.name} has no end on record, ${duration(span.until - span.start)} after it began`);
  const bad = timeline.marks
    .filter(({ isBad }) => isBad)
    .map(({ name, attributes, at }) => `${name} after ${offset(at)} ${attributesText(attributes)}`.trimEnd());
  const all = [...failed, ...bad, ...open];
  if (all.length === 0) return [];
  const shown = all.slice(0, longestListed).map((text) => element("li", {}, [text]));
  const rest = all.length - shown.length;
  return [
    element("ul", { class: "troubles" }, [...shown, ...(rest > 0 ? [element("li", {}, [`and ${rest} more`])] : [])]),
  ];
}

function notesOf(timeline: Timeline, omitted: number, hasBreaks: boolean): Markup[] {
  const notes = [
    ...(omitted > 0 ? [`${omitted} short steps are not drawn.`] : []),
    ...(timeline.omitted > 0 ? [`${timeline.omitted} lines were left out of the record, which is bounded.`] : []),
    "Point at a bar for its details.",
    ...(hasBreaks ? ["Grey stretches, in which no work was done, are drawn narrow."] : []),
  ];
  return [element("p", { class: "notes" }, [notes.join(" ")])];
}

function longestOf(timeline: Timeline): Markup[] {
  const all: { span: Span; own: number }[] = [];
  const add = (span: Span): void => {
    const parts = span.parts.reduce((sum, part) => sum + (part.until - part.start), 0);
    if (!onlyWaits(span)) all.push({ span, own: Math.max(0, span.until - span.start - parts) });
    span.parts.forEach(add);
  };
  timeline.spans.forEach(add);
  const longest = all.toSorted((one, other) => other.own - one.own).slice(0, longestListed);
  if (longest.length === 0) return [];
  return [
    element("h2", {}, ["Where the time went"]),
    table(
      ["work", "kind", "with its parts", "without them"],
      longest.map(({ span, own }) => [
        `${span.name} ${aboutText(span, timeline)}`.trimEnd(),
        span.kind.replace("-", " "),
        tookText(span),
        duration(own),
      ]),
    ),
  ];
}

function instantsOf({ marks }: Timeline): Markup[] {
  if (marks.length === 0) return [];
  const rows = marks
    .slice(0, mostChanges)
    .map(({ at, name, attributes }) => [offset(at), name, attributesText(attributes)]);
  return [element("h2", {}, ["What happened"]), table(["after", "what", ""], rows)];
}

function changesOf({ changes }: Timeline): Markup[] {
  if (changes.length === 0) return [];
  const rows = changes
    .slice(0, mostChanges)
    .map(({ at, subject, id, from, to, operation, failed }) => [
      offset(at),
      subject,
      id,
      `${from} → ${to}`,
      failed ? `${operation} (failed)` : operation,
    ]);
  const count = changes.length > rows.length ? `the first ${rows.length} of ${changes.length}` : `${changes.length}`;
  return [
    element("details", {}, [
      element("summary", {}, [`Changes of state (${count})`]),
      table(["after", "what", "id", "from and to", "by"], rows),
    ]),
  ];
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): Markup {
  return element("div", { class: "table" }, [
    element("table", {}, [
      element("thead", {}, [
        element(
          "tr",
          {},
          header.map((text) => element("th", {}, [text])),
        ),
      ]),
      element(
        "tbody",
        {},
        rows.map((row) =>
          element(
            "tr",
            {},
            row.map((text) => element("td", {}, [text])),
          ),
        ),
      ),
    ]),
  ]);
}

const legend = element(
  "ul",
  { class: "legend" },
  [
    ["request", "request of a client"],
    ["phase", "step of the shim"],
    ["host-call", "call to the host"],
    ["guest-request", "request to the guest"],
    ["failed", "failed"],
    ["waits", "waits for an end"],
  ].map(([kind = "", meaning = ""]) => element("li", {}, [element("span", { class: `swatch ${kind}` }), meaning])),
);

const style = `
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6778; --page: #fff; --stripe: #f5f7fa; --line: #dde2ea;
  --request: #3b6fb6; --phase: #2a9d7f; --host-call: #d9912b; --guest-request: #8e5bb5; --failed: #c8321f; --hatch: #c9d0da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ef; --soft: #98a3b5; --page: #14181f; --stripe: #1a2029; --line: #2d3541;
  --request: #6d9ee0; --phase: #4cc3a3; --host-call: #e6ac55; --guest-request: #b58adb; --failed: #f0705e; --hatch: #3a4453; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1360px; padding: 28px 32px 40px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 17px; margin: 30px 0 8px; }
.from, .notes, footer { color: var(--soft); margin: 2px 0 0; } .notes { margin: 8px 0 0; font-size: 13px; } footer { margin-top: 32px; font-size: 13px; }
.facts { display: flex; flex-wrap: wrap; gap: 8px 34px; margin: 18px 0; }
.facts div { border-left: 3px solid var(--line); padding-left: 10px; } dt { color: var(--soft); font-size: 13px; } dd { margin: 0; font-size: 17px; font-variant-numeric: tabular-nums; }
.troubles { margin: 0 0 18px; padding: 10px 14px 10px 32px; border-left: 4px solid var(--failed); background: color-mix(in srgb, var(--failed) 9%, var(--page)); }
.troubles li { overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; list-style: none; margin: 0 0 10px; padding: 0; font-size: 13px; color: var(--soft); }
.swatch { display: inline-block; width: 18px; height: 10px; border-radius: 2px; margin-right: 7px; }
.swatch.request { background: var(--request); } .swatch.phase { background: var(--phase); } .swatch.host-call { background: var(--host-call); }
.swatch.guest-request { background: var(--guest-request); } .swatch.failed { background: var(--failed); }
.swatch.waits { border: 1px dashed var(--soft); }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; }
svg.timeline { display: block; width: 100%; min-width: 900px; font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
.stripe { fill: var(--stripe); } .target { fill: transparent; } .row:hover .target { fill: color-mix(in srgb, var(--request) 12%, transparent); }
.grid { stroke: var(--line); } .tick, .took, .rest, .pause { fill: var(--soft); } .took, .tick { font-variant-numeric: tabular-nums; font-size: 11.5px; }
.pause { font-size: 11px; } .break { fill: var(--hatch); opacity: .35; } .branch { fill: none; stroke: var(--line); }
.bar.request { fill: var(--request); } .bar.phase { fill: var(--phase); } .bar.host-call { fill: var(--host-call); } .bar.guest-request { fill: var(--guest-request); }
.bar.waits { fill: transparent; stroke: var(--soft); stroke-dasharray: 3 3; } .bar.failed { fill: var(--failed); }
.bar.open:not(.waits) { stroke: var(--failed); stroke-width: 1.5; stroke-dasharray: 4 2; fill-opacity: .55; }
.row.bad .name, .error { fill: var(--failed); } .error { font-size: 11.5px; }
.mark line { stroke: var(--soft); stroke-dasharray: 2 3; opacity: .55; } .mark path { fill: var(--soft); } .mark text { fill: var(--ink); font-size: 11.5px; }
.mark.bad line { stroke: var(--failed); } .mark.bad path, .mark.bad text { fill: var(--failed); }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: 14px; } th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: 3px 22px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
summary { cursor: pointer; margin-top: 26px; font-weight: 600; }
@media print { body { max-width: none; padding: 0; } figure { overflow: visible; } svg.timeline { min-width: 0; } }
`;
