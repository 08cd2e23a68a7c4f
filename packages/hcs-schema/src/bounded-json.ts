import { SchemaError } from "./check.ts";

/** Limits of a JSON text, counted over its characters before it is parsed. */
export interface JsonBounds {
  /** Characters of the text. */
  readonly length: number;
  /** Levels of nested objects and lists. */
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
 * The bound that a text exceeds, as the end of an error; undefined if it exceeds none. The text need not be valid JSON:
 * then this counts what JSON.parse would make before it finds the error.
 */
export function jsonExcess(text: string, bounds: JsonBounds): string | undefined {
  if (text.length > bounds.length) return `expected at most ${bounds.length} characters, got ${text.length}`;
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
    if (isList.length > bounds.depth) return `expected at most ${bounds.depth} levels`;
    if (keys > bounds.keys) return `expected at most ${bounds.keys} fields`;
    if (elements > bounds.elements) return `expected at most ${bounds.elements} list elements`;
  }
  return undefined;
}

/** Parses a text within bounds. Throws a SchemaError, with `name`, if the text exceeds them or is not JSON. */
export function parseWithin(text: string, bounds: JsonBounds, name = ""): unknown {
  const excess = jsonExcess(text, bounds);
  if (excess !== undefined) throw new SchemaError(name, excess);
  try {
    return JSON.parse(text);
  } catch (cause) {
    // The cause's own message would quote the text.
    throw new SchemaError(name, "expected JSON", { cause });
  }
}

/** Index of the quotation mark that closes the string beginning at `start`; the text's length if none does. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before -= 1;
    const isEscaped = (end - before) % 2 === 0;
    if (!isEscaped) return end;
  }
  return text.length;
}
