/** Declarative checks of JSON values from outside. A check returns the value as its type, or throws a SchemaError. */
import { foldedName } from "./any-case.ts";

/** What is wrong with which field: `VirtualMachine.ComputeTopology.Memory.SizeInMB: expected …, got …`. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
  /** Dotted path of the field; empty for the value as a whole. */
  readonly path: string;
  /** The problem without the value itself. */
  readonly unshown: string;

  constructor(path: string, problem: string, options?: { readonly cause?: unknown; readonly unshown?: string }) {
    super(path === "" ? problem : `${path}: ${problem}`, options);
    this.path = path;
    this.unshown = options?.unshown ?? problem;
  }
}

/** `path` names the value in the error. */
export type Check<T> = (value: unknown, path?: string) => T;

type Scalar = string | number | boolean;

declare const copies: unique symbol;

/**
 * A check that returns a copy, with the fields of its table and no others at every level. A guest's document is read
 * only by such a check. The compiler proves the copying: `openObject`, `anything` and `record` cannot be part of one.
 */
export type Copying<T> = [T] extends [Scalar] ? Check<T> : CopyingCheck<T>;

/**
 * A check whose result is a copy that holds nothing of the value but what the check names. Only the functions of this
 * module make one: the mark keeps any other function from passing as one.
 */
export type CopyingCheck<T> = Check<T> & { readonly [copies]: true };

/** A field that may be absent. Null counts as absent, as Go's JSON encoder writes it for empty lists and pointers. */
export interface OptionalField<T> {
  readonly optional: Check<T>;
}

/** One check for every field of T, so that a type and its check cannot drift apart. */
export type FieldChecks<T> = {
  readonly [Name in keyof T]-?: Record<never, never> extends Pick<T, Name>
    ? OptionalField<Exclude<T[Name], undefined>>
    : Check<T[Name]>;
};

/** As `FieldChecks`, but of checks that copy. */
export type CopyingFields<T> = {
  readonly [Name in keyof T]-?: Record<never, never> extends Pick<T, Name>
    ? { readonly optional: Copying<Exclude<T[Name], undefined>> }
    : Copying<T[Name]>;
};

const shownCharacters = 60;

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "bigint") return `${value}`;
  // A string may be megabytes long.
  const shown = typeof value === "string" ? value.slice(0, shownCharacters) : value;
  const text = JSON.stringify(shown) ?? typeof value;
  return text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text;
}

function mismatch(path: string, expected: string, value: unknown): SchemaError {
  const isText = typeof value === "string";
  const type = isText ? `a string of ${value.length} characters` : `a ${typeof value}`;
  const isPlain = value === undefined || typeof value === "object";
  const unshown = `expected ${expected}, got ${isPlain ? describe(value) : type}`;
  return new SchemaError(path, `expected ${expected}, got ${describe(value)}`, { unshown });
}

/** The same check for a value that may be a secret: errors name its type instead of showing it. */
export function unshown<T>(check: Check<T>): Check<T> {
  return (value, path) => {
    try {
      return check(value, path);
    } catch (error) {
      throw error instanceof SchemaError ? new SchemaError(error.path, error.unshown) : error;
    }
  };
}

/** The same check of an object: a text in its place may be a secret, which errors do not show. */
export function textUnshown<T>(check: Check<T>): Check<T> {
  return (value, path = "") => {
    try {
      return check(value, path);
    } catch (error) {
      if (!(error instanceof SchemaError) || typeof value !== "string") throw error;
      throw new SchemaError(path, error.unshown);
    }
  };
}

function below(path: string, name: string): string {
  return joined(path, stepOf(name));
}

function stepOf(name: string): string {
  return /^[\w-]+$/.test(name) ? name : JSON.stringify(name.slice(0, shownCharacters));
}

function joined(path: string, step: string): string {
  return path === "" ? step : `${path}.${step}`;
}

/** Marks a field of an object's table as one that may be absent or null. */
export function optional<Given extends Check<unknown>>(check: Given): { readonly optional: Given } {
  return { optional: check };
}

/** Accepts every value as it is. Not for values of a guest: it copies nothing. */
export const anything: Check<unknown> = (value) => value;

/** A string of any length, empty or not. */
export const text: Check<string> = (value, path = "") => {
  if (typeof value !== "string") throw mismatch(path, "a string", value);
  return value;
};

/** A JSON boolean; neither 0 and 1 nor "true" pass. */
export const truth: Check<boolean> = (value, path = "") => {
  if (typeof value !== "boolean") throw mismatch(path, "true or false", value);
  return value;
};

/** A check that also asks `accepts`; `expected` completes "expected …" in its error. */
export function refine<T>(check: Check<T>, expected: string, accepts: (value: T) => boolean): Check<T> {
  return (value, path = "") => {
    const checked = check(value, path);
    if (!accepts(checked)) throw mismatch(path, expected, value);
    return checked;
  };
}

/** A string with at least one character, for names and paths. */
export const filledText = refine(text, "a non-empty string", (value) => value !== "");

/**
 * A GUID in its 36 characters without braces, in any case, as HCS, HCN and the guest protocol write it. Source: [MS-
 * DTYP], section 2.3.4.3, without the braces.
 */
export const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A GUID without braces, in any case. */
export const checkGuid: Check<string> = refine(text, "a GUID", (value) => guidPattern.test(value));

/**
 * An integer from `minimum` to `maximum`, both included. Without `maximum` the limit is 2^53 - 1, the largest that a
 * JSON number holds exactly.
 */
export function integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): Check<number> {
  const range = maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
  const expected = minimum === 1 && maximum === Number.MAX_SAFE_INTEGER ? "a positive integer" : `an integer ${range}`;
  return (value, path = "") => {
    if (typeof value !== "number" || !Number.isInteger(value) || value < minimum || value > maximum) {
      throw mismatch(path, expected, value);
    }
    return value;
  };
}

/**
 * One of the given strings or numbers, compared exactly. Use it for enumerations of a schema, whose values are spelled
 * in one case.
 */
export function oneOf<const Values extends readonly (string | number)[]>(...values: Values): Check<Values[number]> {
  const expected = values.map((value) => JSON.stringify(value)).join(" or ");
  return (value, path = "") => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw mismatch(path, expected, value);
    return found;
  };
}

/** A list, of which `item` checks each element. The result is a new list; it copies where `item` does. */
export function list<T extends Scalar>(item: Check<T>): CopyingCheck<readonly T[]>;
export function list<T>(item: CopyingCheck<T>): CopyingCheck<readonly T[]>;
export function list<T>(item: Check<T>): Check<readonly T[]>;
export function list<T>(item: Check<T>): Check<readonly T[]> {
  return (value, path = "") => {
    if (!Array.isArray(value)) throw mismatch(path, "a list", value);
    return value.map((element, index) => item(element, `${path}[${index}]`));
  };
}

/** Converts the result of a copying check, which makes another copying check. */
export function madeOf<Copy, T>(check: Copying<Copy>, make: (copy: Copy, path: string) => T): CopyingCheck<T> {
  return ((value, path = "") => make(check(value, path), path)) as CopyingCheck<T>;
}

/** An object whose field names are data; `key` checks each of them. */
export function record<T>(item: Check<T>, key: Check<string> = text): Check<{ readonly [name: string]: T }> {
  return (value, path = "") =>
    Object.fromEntries(
      Object.entries(fieldsOf(value, path)).map(([name, element]) => [
        key(name, `${below(path, name)} (name)`),
        item(element, below(path, name)),
      ]),
    );
}

/** An object with these fields and no others. */
export function closedObject<T>(fields: FieldChecks<T>): Check<T> {
  const table = tableOf(fields);
  return (value, path = "") => {
    const given = fieldsOf(value, path);
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(fields, name)) {
        throw new SchemaError(below(path, name), `unknown field, expected one of ${Object.keys(fields).join(", ")}`);
      }
    }
    return checkFields(table, given, path);
  };
}

/**
 * An object with these fields, in any case of their names. It keeps other fields unchecked, for documents whose
 * specification tells readers to ignore unknown fields.
 */
export function openObject<T>(fields: FieldChecks<T>): Check<T> {
  const table = tableOf(fields);
  return (value, path = "") => {
    const given = fieldsOf(value, path);
    const rest = Object.entries(given).filter(([name]) => !table.names.has(foldedName(name)));
    return { ...Object.fromEntries(rest), ...checkFields(table, inSpellingOf(table, given), path) };
  };
}

/** An answer of a host or guest: copies these fields, in any case of their names, and leaves others out. */
export function answerObject<T>(fields: CopyingFields<T>): CopyingCheck<T>;
export function answerObject<T>(fields: FieldChecks<T>): Check<T>;
export function answerObject<T>(fields: FieldChecks<T>): Check<T> {
  const table = tableOf(fields);
  return (value, path = "") => checkFields(table, inSpellingOf(table, fieldsOf(value, path)), path);
}

/** One of the functions above. */
export type ObjectCheck = <T>(fields: FieldChecks<T>) => Check<T>;

/** An object with these fields, whose values may be anything. */
export function namesOf<const Name extends string>(
  object: ObjectCheck,
  ...names: readonly Name[]
): Check<{ readonly [Field in Name]?: unknown }> {
  const fields = Object.fromEntries(names.map((name) => [name, optional(anything)]));
  return object(fields as unknown as FieldChecks<{ readonly [Field in Name]?: unknown }>);
}

/** The fields of an object, prepared for looking them up. Made once, since a list may hold thousands of objects. */
interface Table<T> {
  readonly fields: readonly {
    readonly name: Extract<keyof T, string>;
    readonly step: string;
    readonly check: Check<unknown> | OptionalField<unknown>;
  }[];
  /** By their folded names. */
  readonly names: ReadonlyMap<string, string>;
}

function tableOf<T>(fields: FieldChecks<T>): Table<T> {
  const checks = Object.entries(fields) as [Extract<keyof T, string>, Check<unknown> | OptionalField<unknown>][];
  return {
    fields: checks.map(([name, check]) => ({ name, step: stepOf(name), check })),
    names: new Map(checks.map(([name]) => [foldedName(name), name])),
  };
}

/** The fields that the table knows, spelled as in the table; see `fieldsInAnyCase`. */
function inSpellingOf<T>(
  { names }: Table<T>,
  given: { readonly [name: string]: unknown },
): { readonly [name: string]: unknown } {
  const spelled: { [name: string]: unknown } = {};
  for (const key of Object.keys(given)) {
    const name = names.get(foldedName(key));
    if (name === undefined) continue;
    const value = given[key];
    if ((value !== null && value !== undefined) || !Object.hasOwn(spelled, name)) spelled[name] = value;
  }
  return spelled;
}

function checkFields<T>({ fields }: Table<T>, given: { readonly [name: string]: unknown }, path: string): T {
  const checked: { [Name in keyof T]?: unknown } = {};
  for (const { name, step, check } of fields) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (typeof check === "function") checked[name] = check(value, joined(path, step));
    else if (value !== undefined && value !== null) checked[name] = check.optional(value, joined(path, step));
  }
  return checked as T;
}

function fieldsOf(value: unknown, path: string): { readonly [name: string]: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw mismatch(path, "an object", value);
  return value as { readonly [name: string]: unknown };
}
