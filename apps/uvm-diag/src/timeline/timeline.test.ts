import type { RecordLine } from "@uvm-shim/shim/record";
import { describe, expect, it } from "vitest";
import { type Output, screenOutput } from "../output/output.ts";
import { hostile, Lines, sampleLines } from "../testing/samples.ts";
import { axisOf } from "./axis.ts";
import { timelinePage } from "./page.ts";
import { rowsOf } from "./rows.ts";
import { writeTimeline } from "./text.ts";
import { type Span, type Timeline, timelineOf } from "./timeline.ts";

function made(lines: readonly RecordLine[], now?: Date): Timeline {
  const timeline = timelineOf(lines, now);
  if (timeline === undefined) throw new Error("no timeline");
  return timeline;
}

function outline(spans: readonly Span[]): unknown[] {
  return spans.map(({ name, took, parts }) =>
    parts.length === 0 ? `${name} ${took}` : [`${name} ${took}`, outline(parts)],
  );
}

function textOf(timeline: Timeline, columns?: number): string {
  const texts: string[] = [];
  const screen = { write: (more: string) => texts.push(more), ...(columns && { isTTY: true, columns }) };
  const output: Output = screenOutput(screen, { write: () => {} }, { NO_COLOR: "1" });
  writeTimeline(output, timeline);
  return texts.join("");
}

const page = (timeline: Timeline) => timelinePage(timeline, { by: "uvm-diag 0.1.0", at: new Date(0) });

describe("a timeline", () => {
  it("has the work of a record, in its parts", () => {
    const timeline = made(sampleLines());
    expect(outline(timeline.spans)).toEqual([
      ["Sandbox/StartSandbox 740", [["start VM 560", ["start 118", "wait for the guest to dial in 340"]]]],
      "Task/Wait 7200000",
      ["Task/Create 310", ["modify 290"]],
    ]);
    expect(timeline.header?.id).toBe("web");
    expect(timeline.marks.map(({ name, at }) => `${name} ${at}`)).toEqual(["guest dialled 530", "vm exited 7202000"]);
    expect(timeline.changes).toMatchObject([{ subject: "VM", from: "Created", to: "Running", at: 622 }]);
  });

  it("keeps the sections of a file apart, whose numbers begin again", () => {
    const first = new Lines();
    first.header();
    first.work("phase", "one", 10);
    const second = new Lines();
    second.header(1000);
    second.work("phase", "two", 1010, 5);
    const { spans } = made([...first.all, ...second.all]);
    expect(outline(spans)).toEqual(["one undefined", "two 5"]);
  });

  it("ends what is under way now, or at the last line of a shim that is gone", () => {
    const lines = new Lines();
    lines.header();
    lines.work("phase", "wait for the guest to dial in", 100);
    lines.add(400, { type: "occurred", name: "signal", attributes: { signal: "SIGTERM" } });
    expect(made(lines.all).spans[0]).toMatchObject({ took: undefined, until: 400 });
    expect(made(lines.all, new Date("2026-11-29T12:00:05.000Z")).spans[0]).toMatchObject({ until: 5000 });
  });

  it("survives a record that was made to confuse it", () => {
    const lines = new Lines();
    const self = lines.all.length + 1;
    lines.work("phase", "its own parent", 0, 1, { parent: self });
    lines.work("phase", "of a later one", 1, 1, { parent: 9 });
    let parent: number | undefined;
    for (let depth = 0; depth < 500; depth++)
      parent = lines.work("phase", `deep ${depth}`, 2, 1, parent === undefined ? {} : { parent });
    lines.add(-5000, { type: "ended", of: 1, name: "its own parent", ms: -3 });
    const timeline = made(lines.all);
    expect(outline(timeline.spans).length).toBe(3);
    expect(page(timeline)).toContain("</html>");
    expect(textOf(timeline)).toContain("its own parent");
  });

  it("is none without a line", () => expect(timelineOf([])).toBeUndefined());
});

describe("the axis", () => {
  const axis = axisOf(made(sampleLines()), 8);

  it("draws hours without work narrow", () => {
    expect(axis.breaks).toHaveLength(1);
    expect(axis.breaks[0]?.from).toBeCloseTo(940, -2);
    expect(axis.position(900)).toBeGreaterThan(0.35);
    expect(axis.position(0)).toBe(0);
    expect(axis.position(7_202_000)).toBeCloseTo(1);
  });

  it("never goes back", () => {
    let before = -1;
    for (let at = 0; at <= 7_202_000; at += 997) {
      const position = axis.position(at);
      expect(position).toBeGreaterThanOrEqual(before);
      before = position;
    }
  });

  it("draws a wait of a phase as it is: it is what the reader looks for", () => {
    const lines = new Lines();
    lines.work("phase", "wait for the guest to dial in", 0, 60_000);
    expect(axisOf(made(lines.all), 8).breaks).toEqual([]);
  });
});

describe("rows", () => {
  it("leave out short steps first, and never what failed or its parents", () => {
    const lines = new Lines();
    const parent = lines.work("request", "long", 0, 5000);
    for (let index = 0; index < 50; index++) lines.work("phase", `step ${index}`, index, 1 + index, { parent });
    lines.work("phase", "broken", 60, 0, { parent, error: { code: "Internal", message: "no" } });
    const { rows, omitted } = rowsOf(made(lines.all).spans, 5);
    expect(rows.map(({ span }) => span.name)).toEqual(["long", "step 47", "step 48", "step 49", "broken"]);
    expect(omitted).toBe(47);
  });
});

describe("the timeline as text", () => {
  it("has a line for each piece of work, with its bar", () => {
    const text = textOf(made(sampleLines()), 120);
    const lines = text.split("\n");
    expect(lines[0]).toBe("default/web  containerd-shim-lcow-v2 0.1.0");
    expect(lines[1]).toBe("began 2026-11-29 12:00:00.000 UTC, 2 h");
    expect(text).toMatch(/^ {4}wait for the guest to dial in +190 ms +340 ms +█+/m);
    expect(text).toMatch(/^Task\/Wait +900 ms +2 h +·+/m);
    expect(text).toMatch(/^ +530 ms {2}guest dialled port=1$/m);
    expect(text).toContain("modify failed: the host does not find \\u{1b}[31m<script>");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(170);
    expect(text).not.toContain("\u001b");
  });
});

describe("the page", () => {
  const html = page(made(sampleLines()));

  it("escapes everything that others said", () => {
    expect(html).not.toContain("<script");
    expect(html).not.toContain(hostile);
    expect(html).toContain("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;\\u{202e}&amp;amp;&#39;");
    expect(html.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  it("has nothing from elsewhere, and a policy that says so", () => {
    expect(html).toContain(
      `<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;">`,
    );
    expect(html).not.toMatch(/(src|href)=|https?:|@import|url\(/i);
  });

  it("is well formed", () => {
    const open: string[] = [];
    for (const [, end, name = "", , alone] of html.matchAll(/<(\/?)([a-zA-Z][\w]*)((?:"[^"]*"|[^">])*?)(\/?)>/g)) {
      if (["meta", "br"].includes(name) || alone === "/") continue;
      if (end === "") open.push(name);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
  });

  it("tells what failed, first what caused it", () => {
    expect(html).toMatch(/<ul class="troubles"><li>modify failed after 2:00:01.0: the host does not find/);
  });

  it("is the same for the same record", () => expect(page(made(sampleLines()))).toBe(html));
});
