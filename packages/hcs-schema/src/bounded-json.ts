import { SchemaError } from "./check.ts";

/** What a JSON text may hold, counted over its characters before anything is made of them. */
export interface JsonBounds {
  /** Characters of the text. */
  readonly length: number;
  /** Objects and lists within each other. */
  readonly depth: number;
  /** Fields of all objects together. */
  readonly keys: number;
  /** Elements of all lists together; an empty list counts as one. */
  readonly elements: number;
}

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openingBracket = 0x5b;
const backslash = 0x5c;
const closingBracket = 0x5d;
const openingBrace = 0x7b;
const closingBrace = 0x7d;

/**
 * In what a text exceeds its bounds, or undefined when it keeps them. It is no check of the JSON itself: of what is
 * none it counts what JSON.parse would have made until it found that out.
 */
export function jsonExcess(text: string, bounds: JsonBounds): string | undefined {
  if (text.length > bounds.length) return `${text.length} characters, expected at most ${bounds.length}`;
  const isList: boolean[] = [];
  let keys = 0;
  let elements = 0;
  for (let index = 0; index < text.length; index += 1) {
    switch (text.charCodeAt(index)) {
      case quote:
        index = endOfString(text, index);
        break;
      case openingBrace:
        isList.push(false);
        break;
      case openingBracket:
        isList.push(true);
        elements += 1;
        break;
      case closingBrace:
      case closingBracket:
        isList.pop();
        break;
      case colon:
        keys += 1;
        break;
      case comma:
        if (isList.at(-1) === true) elements += 1;
        break;
    }
    if (isList.length > bounds.depth) return `more than the ${bounds.depth} levels that are expected`;
    if (keys > bounds.keys) return `more than the ${bounds.keys} fields that are expected`;
    if (elements > bounds.elements) return `more than the ${bounds.elements} elements of lists that are expected`;
  }
  return undefined;
}

/** Parses what keeps its bounds, under its name in errors. Throws a SchemaError for what does not, or is no JSON. */
export function parseWithin(text: string, bounds: JsonBounds, name = ""): unknown {
  const excess = jsonExcess(text, bounds);
  if (excess !== undefined) throw new SchemaError(name, excess);
  try {
    return JSON.parse(text);
  } catch (cause) {
    // Not the cause's own words, which quote the text.
    throw new SchemaError(name, "expected JSON", { cause });
  }
}

/** Index of the quotation mark that ends the string which begins here; that of the text's end when none does. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before -= 1;
    const isEscaped = (end - before) % 2 === 0;
    if (!isEscaped) return end;
  }
  return text.length;
}
