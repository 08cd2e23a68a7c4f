import { parseSync } from "oxc-parser";

export interface FoundImport {
  readonly specifier: string;
  readonly typesOnly: boolean;
  readonly line: number;
}

/** Every import and re-export of a module, dynamic ones included. A dynamic import must name its module literally. */
export function importsOf(file: string, source: string): readonly FoundImport[] {
  const { module, errors } = parseSync(file, source);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`);
  const found: FoundImport[] = [];
  const add = (specifier: string, offset: number, typesOnly: boolean): void => {
    found.push({ specifier, typesOnly, line: source.slice(0, offset).split("\n").length });
  };
  for (const item of module.staticImports) {
    const typesOnly = item.entries.length > 0 && item.entries.every((entry) => entry.isType);
    add(item.moduleRequest.value, item.start, typesOnly);
  }
  for (const item of module.staticExports) {
    const requested = item.entries.filter((entry) => entry.moduleRequest !== null);
    const first = requested[0]?.moduleRequest;
    if (first) {
      add(
        first.value,
        item.start,
        requested.every((entry) => entry.isType),
      );
    }
  }
  for (const item of module.dynamicImports) {
    const text = source.slice(item.moduleRequest.start, item.moduleRequest.end);
    const literal = /^["'`]([^"'`$]+)["'`]$/.exec(text)?.[1];
    if (literal === undefined) throw new Error(`${file}: import(${text}) does not name its module literally`);
    add(literal, item.start, false);
  }
  return found;
}
