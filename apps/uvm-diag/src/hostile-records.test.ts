import { parseRecord, type RecordLine } from "@uvm-shim/shim/record";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventWriter } from "./commands/events.ts";
import { writeLogLine } from "./commands/logs.ts";
import { screenOutput } from "./output/output.ts";
import { hostile, sampleLines } from "./testing/samples.ts";
import { timelinePage } from "./timeline/page.ts";
import { writeTimeline } from "./timeline/text.ts";
import { timelineOf } from "./timeline/timeline.ts";
import { why } from "./why/index.ts";

const text = fc.oneof(
  fc.constantFrom("", hostile, "Task/Create", "start", "vm exited", "shim lost", "__proto__", "</svg>", "\ud800"),
  fc.string({ unit: "binary", maxLength: 40 }),
);
const time = fc.oneof(
  fc.constantFrom("-271821-04-20T00:00:00.000Z", "+275760-09-13T00:00:00.000Z", "1970-01-01T00:00:00.000Z"),
  fc
    .date({ noInvalidDate: true, min: new Date("2026-11-29T12:00:00Z"), max: new Date("2026-11-29T12:01:00Z") })
    .map((date) => date.toISOString()),
);
const number = fc.oneof(fc.nat(12), fc.constantFrom(0, -1, -1e308, 1e308, Number.MAX_SAFE_INTEGER, 5e-324));
const attributes = fc.dictionary(text, fc.oneof(text, number, fc.boolean()), { maxKeys: 4 });

/** Lines of every type, whose fields have the right types and nothing else that is right. */
const line = fc.oneof(
  fc.constant(sampleLines()[0]),
  fc.record(
    {
      ...{
        seq: fc.nat(12),
        time,
        type: fc.constant("began"),
        name: text,
        activityId: text,
        parent: fc.nat(12),
        attributes,
      },
      kind: fc.constantFrom("request", "phase", "host-call", "guest-request"),
    },
    { requiredKeys: ["seq", "time", "type", "kind", "name"] },
  ),
  fc.record(
    {
      ...{ seq: fc.nat(12), time, type: fc.constant("ended"), of: fc.nat(12), name: text, ms: number },
      error: fc.record({ code: text, message: text }),
    },
    { requiredKeys: ["seq", "time", "type", "of", "name", "ms"] },
  ),
  fc.record({
    ...{
      seq: fc.nat(12),
      time,
      type: fc.constant("state"),
      subject: text,
      id: text,
      operation: text,
      from: text,
      to: text,
    },
    outcome: fc.constantFrom("success", "failure", "event"),
  }),
  fc.record({ seq: fc.nat(12), time, type: fc.constant("occurred"), name: text, attributes }),
  fc.record({ seq: fc.nat(12), time, type: fc.constant("omitted"), lines: fc.nat() }),
  fc.record({
    ...{ seq: fc.nat(12), time, type: fc.constant("log"), message: text, fields: attributes, activityId: text },
    ...{ source: fc.constantFrom("shim", "guest"), level: fc.constantFrom("warn", "error", "debug") },
  }),
);

/** Everything that is shown of a record. */
function shown(lines: readonly RecordLine[]): { readonly texts: string; readonly page: string } {
  let texts = "";
  const output = screenOutput({ write: (more) => (texts += more) }, { write: (more) => (texts += more) }, {});
  const writer = new EventWriter(output);
  for (const one of lines) {
    if (one.type === "log") writeLogLine(output, one);
    writer.write(one);
  }
  const verdicts = why({
    pod: { namespace: "ns", id: "p" },
    now: new Date("2026-11-29T13:00:00Z"),
    events: lines,
    log: lines.filter((one) => one.type === "log"),
    process: { alive: true },
  });
  for (const { sentence, evidence } of verdicts)
    output.note([sentence, ...evidence.map((proof) => proof.text)].join(" "));
  const timeline = timelineOf(lines, new Date("2026-11-29T13:00:00Z"));
  if (timeline === undefined) return { texts, page: "" };
  writeTimeline(output, timeline);
  return { texts, page: timelinePage(timeline, { by: "uvm-diag", at: new Date(0) }) };
}

describe("a record that was made to confuse, or to attack who reads it", () => {
  it("is shown, and nothing of it is obeyed", () => {
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 14 }), (lines) => {
        const record = parseRecord(lines.map((one) => JSON.stringify(one)).join("\n"));
        const { texts, page } = shown(record.lines);
        expect(texts.replaceAll(/[\n]/g, "")).not.toMatch(/[\p{Cc}\p{Cs}\u202e]/u);
        expect(page.replace(/<style>[\s\S]*?<\/style>/, "")).not.toMatch(
          /<(?!\/?(?:html|head|meta|title|style|body|header|h1|h2|p|dl|div|dt|dd|ul|li|span|figure|svg|rect|text|tspan|line|path|g|table|thead|tbody|tr|th|td|details|summary|footer)[\s>]|!doctype)/,
        );
        expect(page).not.toMatch(/NaN|Infinity|undefined/);
      }),
      { numRuns: 500 },
    );
  });
});
