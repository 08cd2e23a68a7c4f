import { ShimError } from "./errors.ts";
import { jsonErrorPosition } from "./redaction.ts";

/** Ordinary specifications have some hundreds. Parsing this many takes some 10 ms, in which a sandboxer answers no pod. */
const mostValues = 100_000;
/** What is shorter cannot have as many. */
const shortest = 2 * mostValues;

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const backslash = 0x5c;
const openings: ReadonlySet<number> = new Set([0x5b, 0x7b]);

/** A specification of the caller's as parsed JSON, unchecked; InvalidArgument if it is none. `what` ends with "is" or "are". */
export function parseSpecification(what: string, bytes: Uint8Array, expected: string): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length >= shortest && hasTooMany(buffer)) {
    throw new ShimError("InvalidArgument", `${what} too large: expected at most ${mostValues} values`);
  }
  try {
    return JSON.parse(buffer.toString("utf8"));
  } catch (error) {
    throw new ShimError("InvalidArgument", `${what} not JSON${jsonErrorPosition(error)}, expected ${expected}`);
  }
}

/** Counts what JSON.parse would make, be the text valid or not. */
function hasTooMany(bytes: Buffer): boolean {
  let values = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] as number;
    if (byte === quote) index = endOfString(bytes, index);
    else if (byte === comma || byte === colon || openings.has(byte)) values += 1;
    if (values > mostValues) return true;
  }
  return false;
}

function endOfString(bytes: Buffer, start: number): number {
  for (let end = bytes.indexOf(quote, start + 1); end !== -1; end = bytes.indexOf(quote, end + 1)) {
    let before = end - 1;
    while (bytes[before] === backslash) before -= 1;
    const isEscaped = (end - before) % 2 === 0;
    if (!isEscaped) return end;
  }
  return bytes.length;
}
