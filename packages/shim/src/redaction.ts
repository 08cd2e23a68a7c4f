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

/** A number or a word, as `isMistyped` of hcs-schema, of which the shim knows nothing, has it for annotations. */
const mistyped = /^([-+]?[0-9]{1,16}(\.[0-9]{1,16})?[A-Za-z%]{0,3}|[A-Za-z]{1,12}|[\s\S]{0,3})$/;

/** A number, truth or word is shown, as whoever mistyped it looks for it; of all else the length or the type. */
export function shortOr(value: unknown): string {
  if (typeof value === "string" && !mistyped.test(value)) return `${value.length} characters`;
  return typeof value === "object" ? typeOf(value) : (JSON.stringify(value) ?? typeOf(value));
}

/** A URI without what it hands to a program or says to a server: its arguments and its user. Each is told to be there. */
export function shownUri(uri: string): string {
  return uri.replace(/[?#][\s\S]*$/, (rest) => `${rest[0]}…`).replace(/^([A-Za-z]+:\/\/)[^/]*@/, "$1…@");
}
