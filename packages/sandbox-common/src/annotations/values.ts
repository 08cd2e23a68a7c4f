import { isMistyped } from "@uvm-shim/hcs-schema";
import { SandboxError } from "../error.ts";

/** Parses the text of one annotation. InvalidArgument names the key, the value and what is expected. */
export type Reader<T> = (key: string, text: string) => T;

const trueWords = ["1", "t", "T", "TRUE", "true", "True"];
const falseWords = ["0", "f", "F", "FALSE", "false", "False"];

const longestPath = 4096;
const pathStart = /^(\/|\\\\|[A-Za-z]:[\\/])/;

/** Shows only what must be a mistyped number or word: any other text may be a secret under the wrong key. */
export function shownValue(value: unknown): string {
  if (typeof value === "string") return isMistyped(value) ? JSON.stringify(value) : `${value.length} characters`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "nothing";
  if (Object.values(value).every((member) => typeof member === "number")) return JSON.stringify(value);
  return Array.isArray(value) ? "a list" : "an object";
}

/** For settings that are paths: a path is not a secret, and its length alone would not help. */
export function refusePath(key: string, value: string, accepted: string): never {
  if (!pathStart.test(value) || value.length > longestPath) refuse(key, value, accepted);
  throw new SandboxError("InvalidArgument", key, `got ${JSON.stringify(value)}, expected ${accepted}`);
}

/** Throws the SandboxError with code InvalidArgument for a value that cannot be used. */
export function refuse(key: string, value: unknown, accepted: string): never {
  throw new SandboxError("InvalidArgument", key, `got ${shownValue(value)}, expected ${accepted}`);
}

/** For values that may be secret in any form. */
export function refuseUnshown(key: string, value: string, accepted: string): never {
  throw new SandboxError("InvalidArgument", key, `got ${value.length} characters, expected ${accepted}`);
}

/** The words that Go's strconv.ParseBool takes, and no others. */
export const boolean: Reader<boolean> = (key, text) => {
  if (trueWords.includes(text)) return true;
  if (falseWords.includes(text)) return false;
  return refuse(key, text, `one of ${[...trueWords, ...falseWords].join(" ")}`);
};

/** Decimal digits, within a range that includes both ends. */
export function integer(least: number, most: number): Reader<number> {
  return wholeNumber(/^\d{1,64}$/, least, most);
}

/** As Go reads numbers of types that have a sign, even where none below zero is accepted: `+5` is 5. */
export function signedInteger(least: number, most: number): Reader<number> {
  return wholeNumber(/^[+-]?\d{1,64}$/, least, most);
}

function wholeNumber(form: RegExp, least: number, most: number): Reader<number> {
  return (key, text) => {
    const value = Number(text);
    if (!form.test(text) || value < least || value > most) {
      return refuse(key, text, `a whole number from ${least} to ${most}`);
    }
    // Not -0.
    return value + 0;
  };
}

/** Whole numbers separated by commas; none for the empty text. */
export function integers(least: number, most: number): Reader<readonly number[]> {
  return (key, text) => {
    if (text === "") return [];
    const members = text.split(",");
    if (members.some((member) => !/^\d{1,64}$/.test(member) || Number(member) < least || Number(member) > most)) {
      return refuse(key, text, `whole numbers from ${least} to ${most} separated by commas`);
    }
    return members.map(Number);
  };
}

/** One of these words, spelled like that. */
export function oneOf<Word extends string>(...words: readonly Word[]): Reader<Word> {
  return (key, text) => words.find((word) => word === text) ?? refuse(key, text, `one of ${words.join(", ")}`);
}

/** The empty text, which counts as not given, or what the reader accepts. */
export function optional<T>(reader: Reader<T>): Reader<T | ""> {
  return (key, text) => (text === "" ? "" : reader(key, text));
}

/** Text for a command line or a path: control characters are a mistake or an attack. */
export const text: Reader<string> = (key, value) =>
  /\p{Cc}/u.test(value) ? refuseUnshown(key, value, "text without control characters") : value;

/** The name of a file without a folder, or the empty text. */
export const fileName: Reader<string> = (key, value) =>
  /[\\/:]|^\.{1,2}$/.test(value) ? refuse(key, value, "the name of a file, without a folder") : text(key, value);

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A GUID in lower case, or the empty text. */
export const guid: Reader<string> = (key, value) =>
  value === "" || guidPattern.test(value) ? value.toLowerCase() : refuse(key, value, "a GUID without braces");

/** A GUID in the case as written, or the empty text. */
export const guidAsWritten: Reader<string> = (key, value) => {
  guid(key, value);
  return value;
};

/** A text with this beginning, or the empty text. */
export function startsWith(prefix: string): Reader<string> {
  return (key, value) =>
    value === "" || value.startsWith(prefix)
      ? text(key, value)
      : refuse(key, value, `a name that starts with ${prefix}`);
}
