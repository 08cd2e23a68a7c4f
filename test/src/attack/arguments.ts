import { parseArgs } from "node:util";

export interface AttackArguments {
  readonly seed: number;
  /** What is attacked: all of it, or what matches. */
  readonly only: RegExp;
  /** How long all of it may take, in milliseconds. */
  readonly budgetMs: number;
  readonly isLong: boolean;
  /** Lists what there is, and does nothing. */
  readonly lists: boolean;
}

const minute = 60_000;
const defaults = { seed: "1", minutes: "15", hours: "1" } as const;

export const usage =
  "npm run attack -- [--seed N] [--minutes N | --long [--hours N]] [--only 'regular expression'] [--list]";

/** Throws an Error that says what is wrong with the arguments. */
export function readArguments(args: readonly string[]): AttackArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: "string", default: defaults.seed },
      only: { type: "string", default: "" },
      minutes: { type: "string", default: defaults.minutes },
      long: { type: "boolean", default: false },
      hours: { type: "string", default: defaults.hours },
      list: { type: "boolean", default: false },
    },
    strict: true,
  });
  const seed = positive("--seed", values.seed, 0xffffffff);
  const minutes = values.long
    ? positive("--hours", values.hours, 1000) * 60
    : positive("--minutes", values.minutes, 1000);
  return {
    ...{ seed, budgetMs: minutes * minute, isLong: values.long, lists: values.list },
    only: new RegExp(values.only),
  };
}

function positive(name: string, text: string, most: number): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0) || value > most) {
    throw new Error(`${name}: expected a number above 0 up to ${most}, got ${JSON.stringify(text)}`);
  }
  return value;
}
