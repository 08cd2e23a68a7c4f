import type { OtlpReceiver, ReceivedMetric, ReceivedSpan, Values } from "@uvm-shim/test-support/otlp-receiver";

/** What is said of a span besides its name, if it is there. */
const shownAttributes = [
  "container.id",
  "uvm_shim.what",
  "uvm_shim.subject",
  "uvm_shim.resource",
  "uvm_shim.id",
  "error.type",
];
const nameWidth = 84;
/** The VM, where a container is named. */
const vm = "00000000-0000-0000-0000-000000000000";

/** The traces as trees and the metrics as lines. */
export function show({ spans, metrics }: Pick<OtlpReceiver, "spans" | "metrics">): string {
  const traces = Map.groupBy(spans, ({ traceId }) => traceId);
  const trees = [...traces.values()].map(showTrace).toSorted((left, right) => left.began - right.began);
  const last = new Map(metrics.map((metric) => [metric.name, metric]));
  const lines = [...last.values()].toSorted((left, right) => left.name.localeCompare(right.name)).flatMap(showMetric);
  return [...trees.map(({ text }) => text), lines.join("\n")].join("\n\n");
}

export function showTrace(spans: readonly ReceivedSpan[]): { readonly began: number; readonly text: string } {
  const known = new Set(spans.map(({ spanId }) => spanId));
  const began = Math.min(...spans.map((span) => span.began));
  const lines: string[] = [];
  const add = (span: ReceivedSpan, depth: number): void => {
    lines.push(showSpan(span, depth, began));
    const children = spans.filter(({ parentSpanId }) => parentSpanId === span.spanId);
    for (const child of children.toSorted((left, right) => left.began - right.began)) add(child, depth + 1);
  };
  const roots = spans.filter(({ parentSpanId }) => !known.has(parentSpanId));
  for (const root of roots.toSorted((left, right) => left.began - right.began)) add(root, 0);
  return { began, text: [`trace ${spans[0]?.traceId}`, ...lines].join("\n") };
}

function showSpan({ name, began, ended, attributes }: ReceivedSpan, depth: number, traceBegan: number): string {
  const about = shownAttributes.flatMap((attribute) => attributes[attribute] ?? []);
  const text = `${"  ".repeat(depth + 1)}${name}${about.length === 0 ? "" : ` (${about.filter((value) => value !== vm).join(", ")})`}`;
  const at = `+${(began - traceBegan).toFixed(1)}`.padStart(8);
  const shortened = text.length > nameWidth ? `${text.slice(0, nameWidth - 1)}…` : text;
  return `${shortened.padEnd(nameWidth)}${at}${`${(ended - began).toFixed(1)} ms`.padStart(12)}`;
}

function showMetric({ name, unit, kind, points }: ReceivedMetric): readonly string[] {
  return points.map(({ attributes, value, count }) => {
    const figure = kind === "histogram" ? `${count} in ${value.toFixed(1)} ${unit}` : `${rounded(value)} ${unit}`;
    return `${name}${showAttributes(attributes)}  ${figure}`;
  });
}

function rounded(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}

function showAttributes(attributes: Values): string {
  const texts = Object.entries(attributes).map(([name, value]) => `${name}=${value}`);
  return texts.length === 0 ? "" : ` {${texts.join(", ")}}`;
}
