/** A decoder, and what it is fed with. */
export interface Subject {
  readonly name: string;
  /** Inputs as they are in reality, of which others are made. JSON values are written as text. */
  readonly seeds: readonly (Uint8Array | object)[];
  /** Names of the errors by which it says that it does not take an input; any other error is a fault. */
  readonly refusals: readonly string[];
  /** What it returns is of no interest. */
  readonly decode: (input: Buffer) => unknown;
}

export interface Refusal {
  readonly name: string;
}

/** What a decoder's caller does with text that is no JSON. */
export class NoJson extends Error {
  override readonly name = "NoJson";
}

export function parseJson(input: Buffer): unknown {
  try {
    return JSON.parse(input.toString("utf8"));
  } catch (cause) {
    throw new NoJson("no JSON", { cause });
  }
}

/** A subject whose decoder takes a value that came as JSON. */
export function jsonSubject(
  name: string,
  seeds: readonly object[],
  check: (value: unknown) => unknown,
  refusals: readonly string[] = ["SchemaError"],
): Subject {
  return { name, seeds, refusals: [...refusals, "NoJson"], decode: (input) => check(parseJson(input)) };
}

/** A subject whose decoder takes text. */
export function textSubject(
  name: string,
  seeds: readonly string[],
  decode: (text: string) => unknown,
  refusals: readonly string[] = [],
): Subject {
  return {
    name,
    refusals,
    seeds: seeds.map((seed) => Buffer.from(seed)),
    decode: (input) => decode(input.toString("utf8")),
  };
}
