import type { LogLine, RecordLine } from "@uvm-shim/shim/record";
import { type Context, podAndRest } from "../context.ts";
import { clockTime } from "../output/duration.ts";
import type { Output, Style } from "../output/output.ts";
import { plain, plainJson } from "../output/plain.ts";
import { followRecord, recordOf } from "../shim/records.ts";

const levelStyles: Readonly<Partial<Record<LogLine["level"], Style>>> = {
  error: "red",
  warn: "yellow",
  debug: "dim",
  trace: "dim",
};

export async function logs(context: Context): Promise<number> {
  const { options, output } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const activity = typeof options.activity === "string" ? options.activity.toLowerCase() : undefined;
  const isWanted = (line: RecordLine): line is LogLine => {
    if (line.type !== "log") return false;
    if (options.guest !== undefined && options.shim === undefined && line.source !== "guest") return false;
    if (options.shim !== undefined && options.guest === undefined && line.source !== "shim") return false;
    return activity === undefined || line.activityId?.toLowerCase().startsWith(activity) === true;
  };
  const show = (line: RecordLine): void => {
    if (!isWanted(line)) return;
    if (options.json !== undefined) output.raw(`${plainJson(line)}\n`);
    else writeLogLine(output, line);
  };
  if (options.follow !== undefined && pod.socket !== undefined) await followRecord(pod, "Log", context, show);
  else for (const line of await recordOf(pod, "Log", context)) show(line);
  return 0;
}

export function writeLogLine(output: Output, { time, source, level, message, fields, activityId }: LogLine): void {
  const style = levelStyles[level];
  const shown = `${level.padEnd(5)} ${plain(message)}`;
  const details = Object.entries(fields ?? {}).map(([name, value]) => `${plain(name)}=${valueText(value)}`);
  if (activityId !== undefined) details.push(`activity=${plain(activityId)}`);
  const line = [
    output.style("dim", clockTime(new Date(time))),
    output.style(source === "guest" ? "magenta" : "blue", source.padEnd(5)),
    style === undefined ? shown : output.style(style, shown),
    ...(details.length > 0 ? [output.style("dim", details.join(" "))] : []),
  ];
  output.line(line.join(" "));
}

function valueText(value: string | number | boolean): string {
  const text = String(value);
  return /^[^\s"=]+$/.test(text) ? plain(text) : plain(JSON.stringify(text));
}
