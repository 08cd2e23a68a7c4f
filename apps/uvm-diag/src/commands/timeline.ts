import { writeFileSync } from "node:fs";
import { type Context, podAndRest, writeJson } from "../context.ts";
import { DiagError, exitCodes } from "../errors.ts";
import { nameOf } from "../pods/pod.ts";
import { recordOf } from "../shim/records.ts";
import { timelinePage } from "../timeline/page.ts";
import { writeTimeline } from "../timeline/text.ts";
import { timelineOf } from "../timeline/timeline.ts";

export async function timeline(context: Context): Promise<number> {
  const { options, output, version } = context;
  const { pod } = podAndRest(context, { least: 0, most: 0 });
  const lines = await recordOf(pod, "Events", context);
  // What a dead shim has not ended did not go on after its last line.
  const made = timelineOf(lines, pod.socket === undefined ? undefined : context.now());
  if (made === undefined) throw new DiagError(exitCodes.failed, `the record of ${nameOf(pod)} is empty`);
  const { html } = options;
  if (options.json !== undefined) writeJson(output, made);
  else if (typeof html !== "string") writeTimeline(output, made);
  else {
    const page = timelinePage(made, { by: `uvm-diag ${version}`, at: context.now() });
    if (html === "-") output.raw(page);
    else writePage(html, page, output.note);
  }
  return 0;
}

function writePage(file: string, page: string, note: (text: string) => void): void {
  try {
    writeFileSync(file, page);
  } catch (cause) {
    throw new DiagError(exitCodes.failed, `cannot write ${file}: ${(cause as Error).message}`, { cause });
  }
  note(`wrote ${file}`);
}
