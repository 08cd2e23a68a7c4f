import { SandboxError } from "./error.ts";

/** Reads one annotation's text into a value, or throws InvalidArgument naming key, value and what is accepted. */
export type Reader<T> = (key: string, text: string) => T;

const trueWords = ["1", "t", "T", "TRUE", "true", "True"];
const falseWords = ["0", "f", "F", "FALSE", "false", "False"];

function refuse(key: string, text: string, accepted: string): never {
  throw new SandboxError("InvalidArgument", key, `got ${JSON.stringify(text)}, expected ${accepted}`);
}

export const boolean: Reader<boolean> = (key, text) => {
  if (trueWords.includes(text)) return true;
  if (falseWords.includes(text)) return false;
  return refuse(key, text, `one of ${[...trueWords, ...falseWords].join(" ")}`);
};

export function integer(least: number, most: number): Reader<number> {
  return (key, text) => {
    const value = Number(text);
    if (!/^\d{1,16}$/.test(text) || value < least || value > most) {
      return refuse(key, text, `a whole number from ${least} to ${most}`);
    }
    return value;
  };
}

export function oneOf<Word extends string>(...words: readonly Word[]): Reader<Word> {
  return (key, text) => words.find((word) => word === text) ?? refuse(key, text, `one of ${words.join(", ")}`);
}

export const text: Reader<string> = (_key, value) => value;
