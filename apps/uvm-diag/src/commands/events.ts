import type { RecordLine } from "@uvm-shim/shim/record";
import { type Context, podAndRest } from "../context.ts";
import { calendarDay, clockTime, duration } from "../output/duration.ts";
import type { Output } from "../output/output.ts";
import { plain, plainJson } from "../output/plain.ts";
import { followRecord, recordOf } from "../shim/records.ts";
import { attributesText } from "../timeline/describe.ts";
import { isBadOccurrence } from "../timeline/timeline.ts";

export async function events(context: Context): Promise<number> {
  const { options, output } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const writer = new EventWriter(output);
  const show = (line: RecordLine): void => {
    if (options.json !== undefined) output.raw(`${plainJson(line)}\n`);
    else writer.write(line);
  };
  if (options.follow !== undefined && pod.socket !== undefined) await followRecord(pod, "Events", context, show);
  else for (const line of await recordOf(pod, "Events", context)) show(line);
  return 0;
}

/** Writes the lines of a record one after the other: what is within something else is indented. */
export class EventWriter {
  readonly #output: Output;
  readonly #depths = new Map<number, number>();
  #day = "";

  constructor(output: Output) {
    this.#output = output;
  }

  write(line: RecordLine): void {
    const time = new Date(line.time);
    if (line.type === "header") this.#depths.clear();
    if (calendarDay(time) !== this.#day) {
      this.#day = calendarDay(time);
      this.#output.line(this.#output.style("bold", `${this.#day} (UTC)`));
    }
    const indent = "  ".repeat(Math.min(this.#depthOf(line), 12));
    this.#output.line(`${this.#output.style("dim", clockTime(time))}  ${indent}${this.#text(line)}`);
  }

  #depthOf(line: RecordLine): number {
    switch (line.type) {
      case "began": {
        const depth = line.parent === undefined ? 0 : (this.#depths.get(line.parent) ?? -1) + 1;
        this.#depths.set(line.seq, depth);
        return depth;
      }
      case "ended":
        return this.#depths.get(line.of) ?? 0;
      case "state":
      case "occurred":
        return line.within === undefined ? 0 : (this.#depths.get(line.within) ?? -1) + 1;
      default:
        return 0;
    }
  }

  #text(line: RecordLine): string {
    const { style } = this.#output;
    switch (line.type) {
      case "header":
        return style(
          "bold",
          plain(`${line.namespace}/${line.id}: ${line.shim} ${line.version}, pid ${line.pid} (${line.by})`),
        );
      case "began":
        return (
          plain(`▶ ${line.name} ${attributesText(line.attributes ?? {})}`.trimEnd()) + style("dim", `  ${line.kind}`)
        );
      case "ended":
        if (line.error === undefined)
          return `${style("green", "✔")} ${plain(line.name)}  ${style("dim", duration(line.ms))}`;
        if (line.error.code === "Cancelled")
          return style("dim", plain(`✘ ${line.name}  ${duration(line.ms)}  given up`));
        return style("red", plain(`✘ ${line.name}  ${duration(line.ms)}  ${line.error.code}: ${line.error.message}`));
      case "state": {
        const change = plain(`${line.subject} ${line.id}: ${line.from} → ${line.to} (${line.operation})`);
        return line.outcome === "failure" ? style("red", `${change}, failed`) : style("cyan", change);
      }
      case "occurred": {
        const text = plain(`● ${line.name} ${attributesText(line.attributes ?? {})}`.trimEnd());
        return isBadOccurrence(line.name, line.attributes) ? style("red", text) : style("yellow", text);
      }
      case "log":
        return plain(`${line.source} ${line.level}: ${line.message}`);
      case "omitted":
        return style("dim", `${line.lines} lines are not kept any more`);
    }
  }
}
