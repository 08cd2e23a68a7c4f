/**
 * Names of JSON objects whose case does not count. Windows' services and guests differ among themselves, and from the
 * schemas, in the case of names, and their clients in Go never notice: Go's decoder takes a name in any case.
 */

/**
 * What the names that Go's decoder takes for one have in common. Beside the letters of ASCII there are two signs that
 * Unicode folds onto such a letter: the Kelvin sign, which becomes a k here, and the long s.
 */
export function foldedName(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes("\u017f") ? lower.replaceAll("\u017f", "s") : lower;
}

/**
 * The fields of an object that came as JSON, by their folded names. Of names that differ in case alone the last one
 * counts, one that is spelled as in the schema no more than another, as in Go's decoder; null counts as absent, and
 * takes nothing back. A name such as `__proto__` is one like any other.
 */
export function fieldsInAnyCase(object: { readonly [name: string]: unknown }): ReadonlyMap<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const [name, value] of Object.entries(object)) {
    const folded = foldedName(name);
    if ((value !== null && value !== undefined) || !fields.has(folded)) fields.set(folded, value);
  }
  return fields;
}

/** Names of a document's fields, with those of the objects, or of the lists of objects, below them. */
export interface Names {
  readonly [name: string]: true | Names | readonly [Names];
}

/** The value with the names as they are here, and everything else as it came, also what is not of that shape. */
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
