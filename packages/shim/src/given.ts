/** What errors say of what callers gave: where it is wrong, and of what type it is. It may be, or hold, a secret. */

/** Where a text is no JSON: the parser's own words repeat a part of it. */
export function jsonFault(error: unknown): string {
  const position = /\bposition (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
  return position === undefined ? "" : ` (at position ${position})`;
}

/** Where a text is no TOML; of the parser's own words the lines are repeated. */
export function tomlFault(error: unknown): string {
  const { line, column } = error as { readonly line?: unknown; readonly column?: unknown };
  return typeof line === "number" && typeof column === "number" ? ` (line ${line}, column ${column})` : "";
}

const articles: Readonly<Record<string, string>> = { object: "an object", undefined: "nothing" };

export function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return articles[typeof value] ?? `a ${typeof value}`;
}

/** Longer texts are no mistyped words or numbers. */
const longestShown = 40;

/** A number, truth or short word is shown, as whoever mistyped it looks for it; of all else the type. */
export function shortOr(value: unknown): string {
  if (typeof value === "string" && value.length > longestShown) return `${value.length} characters`;
  return typeof value === "object" ? typeOf(value) : (JSON.stringify(value) ?? typeOf(value));
}
