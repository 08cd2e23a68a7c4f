import { parseArgs } from "node:util";

export interface AttackArguments {
  readonly seed: number;
  /** What is attacked: all of it, or what matches. */
  readonly only: RegExp;
  readonly extent: Extent;
  /** Lists what there is, and does nothing. */
  readonly lists: boolean;
  /** Feeds one decoder with the contents of a file, and does nothing else. */
  readonly feed: { readonly decoder: string; readonly input: string } | undefined;
}

export type Extent =
  /** A part of it that takes about two minutes, and is always the same for a seed. */
  | { readonly kind: "short" }
  /** All of it once. */
  | { readonly kind: "whole" }
  /** All of it again and again with other seeds, learning from the code that runs. */
  | { readonly kind: "long"; readonly milliseconds: number };

const hour = 3_600_000;
const mostSeed = 0xffff_ffff;
const mostHours = 1_000;

export const usage =
  "npm run attack -- [--seed N] [--short | --long [--hours N]] [--only 'regular expression'] [--list]\n" +
  "npm run attack -- --feed <decoder> --input <file>";

/** Throws an Error that says what is wrong with the arguments. */
export function readArguments(args: readonly string[]): AttackArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: "string", default: "1" },
      only: { type: "string", default: "" },
      short: { type: "boolean", default: false },
      long: { type: "boolean", default: false },
      hours: { type: "string", default: "1" },
      list: { type: "boolean", default: false },
      feed: { type: "string" },
      input: { type: "string" },
    },
    strict: true,
  });
  const { feed: decoder, input } = values;
  if ((decoder === undefined) !== (input === undefined))
    throw new Error("--feed and --input: expected both or neither");
  if (values.short && values.long) throw new Error("--short and --long: expected one of them");
  const milliseconds = positive("--hours", values.hours, mostHours) * hour;
  return {
    seed: Math.floor(positive("--seed", values.seed, mostSeed)),
    only: new RegExp(values.only),
    extent: values.short ? { kind: "short" } : values.long ? { kind: "long", milliseconds } : { kind: "whole" },
    lists: values.list,
    feed: decoder === undefined || input === undefined ? undefined : { decoder, input },
  };
}

function positive(name: string, text: string, most: number): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && value <= most) return value;
  throw new Error(`${name}: expected a number above 0 up to ${most}, got ${JSON.stringify(text)}`);
}
