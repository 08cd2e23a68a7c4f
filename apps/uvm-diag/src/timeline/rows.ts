import { hasFailed } from "./describe.ts";
import { onlyWaits, type Span } from "./timeline.ts";

export interface SpanRow {
  readonly span: Span;
  readonly depth: number;
}

/** The rows of a picture of the spans, parents first; with more than `most`, the shortest leaves are left out. */
export function rowsOf(
  spans: readonly Span[],
  most: number,
): { readonly rows: readonly SpanRow[]; readonly omitted: number } {
  const rows: SpanRow[] = [];
  const add = (span: Span, depth: number): void => {
    rows.push({ span, depth });
    for (const part of span.parts) add(part, depth + 1);
  };
  for (const span of spans) add(span, 0);
  if (rows.length <= most) return { rows, omitted: 0 };
  const weight = ({ span, depth }: SpanRow): number =>
    hasTrouble(span) ? Number.POSITIVE_INFINITY : onlyWaits(span) ? 0 : (span.until - span.start + 1) / (depth + 1);
  const kept = new Set(rows.toSorted((one, other) => weight(other) - weight(one)).slice(0, most));
  // A part without its parent would seem to be a part of the row above it.
  const shown: SpanRow[] = [];
  let hiddenBelow = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    if (row.depth > hiddenBelow) continue;
    hiddenBelow = Number.POSITIVE_INFINITY;
    if (kept.has(row)) shown.push(row);
    else hiddenBelow = row.depth;
  }
  return { rows: shown, omitted: rows.length - shown.length };
}

function hasTrouble(span: Span): boolean {
  return hasFailed(span) || span.took === undefined || span.parts.some(hasTrouble);
}
