import type { LineAttributes } from "@uvm-shim/shim/record";
import { duration } from "../output/duration.ts";
import type { Span, Timeline } from "./timeline.ts";

export function attributesText(attributes: LineAttributes): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

const noGuid = "00000000-0000-0000-0000-000000000000";

/** What a span is about, without what is the same for all of them: the pod, its VM, and the guest itself. */
export function aboutText({ attributes }: Pick<Span, "attributes">, { header }: Pick<Timeline, "header">): string {
  const known = new Set([noGuid, ...(header === undefined ? [] : [header.id, `${header.namespace}-${header.id}@vm`])]);
  return [...new Set(Object.values(attributes).map(String))].filter((value) => !known.has(value)).join(" ");
}

/** Whether a span failed. What was given up, since it was not needed any more, did not. */
export function hasFailed({ error }: Pick<Span, "error">): boolean {
  return error !== undefined && error.code !== "Cancelled";
}

/** How long a span took; work whose end is not recorded is still going on, or its shim died in it. */
export function tookText({ took, start, until }: Span): string {
  return took === undefined ? `> ${duration(until - start)}` : duration(took);
}

/** The first failures of the work that contains no other failure: what broke, not what broke because of it. */
export function innermostFailures(spans: readonly Span[]): readonly Span[] {
  return spans.flatMap((span) => {
    const inner = innermostFailures(span.parts);
    return inner.length > 0 ? inner : hasFailed(span) ? [span] : [];
  });
}

/** Work whose end is not known, innermost. */
export function unfinished(spans: readonly Span[]): readonly Span[] {
  return spans.flatMap((span) => {
    const inner = unfinished(span.parts);
    return inner.length > 0 ? inner : span.took === undefined ? [span] : [];
  });
}

export function podTitle(timeline: Timeline): string {
  const { header } = timeline;
  return header === undefined ? "a pod" : `${header.namespace}/${header.id}`;
}

export function shimTitle({ header }: Timeline): string {
  return header === undefined ? "" : `${header.shim} ${header.version}`;
}
