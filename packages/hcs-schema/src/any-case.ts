/**
 * Field names of JSON objects, compared without regard to case. Windows' services and guests spell the same field in
 * different ways, and not always as the schemas do. Their clients are written in Go and never notice, since Go's
 * decoder accepts a name in any case.
 */

/**
 * The form in which two names are equal if Go's decoder takes them for the same. Two characters beyond ASCII fold onto
 * an ASCII letter in Unicode: the Kelvin sign, which toLowerCase turns into a k, and the long s.
 */
export function foldedName(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes("\u017f") ? lower.replaceAll("\u017f", "s") : lower;
}

/**
 * The fields of a JSON object by their folded names. Of names that differ only in case, the last one wins, as in Go's
 * decoder, even over one that is spelled as in the schema. A null counts as absent and replaces nothing. `__proto__`
 * is a name like any other.
 */
export function fieldsInAnyCase(object: { readonly [name: string]: unknown }): ReadonlyMap<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const [name, value] of Object.entries(object)) {
    const folded = foldedName(name);
    if ((value !== null && value !== undefined) || !fields.has(folded)) fields.set(folded, value);
  }
  return fields;
}

/** Field names of a document, with those of the objects and the lists of objects inside it. */
export interface Names {
  readonly [name: string]: true | Names | readonly [Names];
}

/** The value with known names spelled as here. Everything else stays as it came, including values of another shape. */
export function spelledAs(names: Names, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const fields = fieldsInAnyCase(value as { readonly [name: string]: unknown });
  const known = new Map(Object.keys(names).map((name) => [foldedName(name), name]));
  const others = Object.entries(value).filter(([name]) => !known.has(foldedName(name)));
  const spelled = [...known].flatMap(([folded, name]) => {
    const below = names[name];
    if (!fields.has(folded) || below === undefined) return [];
    return [[name, below === true ? fields.get(folded) : spelledBelow(below, fields.get(folded))] as const];
  });
  return Object.fromEntries([...others, ...spelled]);
}

function spelledBelow(names: Names | readonly [Names], value: unknown): unknown {
  if (!isList(names)) return spelledAs(names, value);
  return Array.isArray(value) ? value.map((item) => spelledAs(names[0], item)) : value;
}

function isList(names: Names | readonly [Names]): names is readonly [Names] {
  return Array.isArray(names);
}
