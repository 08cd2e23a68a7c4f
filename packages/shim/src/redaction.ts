/** Error texts about input that may contain a secret: they name its position, length or type, never its content. */

/** The position of a JSON syntax error. The parser's own message quotes the input. */
export function jsonErrorPosition(error: unknown): string {
  const position = /\bposition (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
  return position === undefined ? "" : ` (at position ${position})`;
}

/** The position of a TOML syntax error. The parser's own message quotes the input. */
export function tomlErrorPosition(error: unknown): string {
  const { line, column } = error as { readonly line?: unknown; readonly column?: unknown };
  return typeof line === "number" && typeof column === "number" ? ` (line ${line}, column ${column})` : "";
}

const typeNames: Readonly<Record<string, string>> = { object: "an object", undefined: "nothing" };

/** A word for the type of a value that must not be repeated. */
export function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeNames[typeof value] ?? `a ${typeof value}`;
}

/** A number, a word or up to three characters: too short to be a secret. Agrees with hcs-schema, which the shim may not import. */
const plainValue = /^([-+]?[0-9]{1,16}(\.[0-9]{1,16})?[A-Za-z%]{0,3}|[A-Za-z]{1,12}|[\s\S]{0,3})$/;

/** Shows a number, boolean or short word, which helps to find a typing error; otherwise only the length or the type. */
export function redactedValue(value: unknown): string {
  if (typeof value === "string" && !plainValue.test(value)) return `${value.length} characters`;
  return typeof value === "object" ? typeName(value) : (JSON.stringify(value) ?? typeName(value));
}

/** Replaces the query, the fragment and the user of a URI by an ellipsis: they may hold credentials. */
export function redactedUri(uri: string): string {
  return uri.replace(/[?#][\s\S]*$/, (rest) => `${rest[0]}…`).replace(/^([A-Za-z]+:\/\/)[^/]*@/, "$1…@");
}
