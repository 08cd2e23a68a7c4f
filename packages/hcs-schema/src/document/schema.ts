/**
 * The public schema references of the Host Compute Service and the Host Compute Network as data: tables of types, each
 * field with its type and the schema version that introduced it. TypeScript types and runtime checks come from one
 * table.
 */
import { type Check, SchemaError } from "../check.ts";

/** The schema version that introduced a field, such as `2.3`; or the first build, if the public reference omits it. */
type Since = `2.${number}` | `${number}`;

/**
 * Type and origin of a field: a scalar or the name of a type of the table, `T[]` for lists of it, `{T}` for objects of
 * it by name, `{uint32:T}` and `{Guid:T}` where the names are numbers or GUIDs.
 */
export type FieldText = `${string} ${Since}`;

/** Structures by their fields, enumerations by their values. */
export interface SchemaTypes {
  readonly [name: string]: readonly FieldText[] | { readonly [field: string]: FieldText };
}

interface Scalars {
  readonly Any: unknown;
  readonly bool: boolean;
  readonly string: string;
  readonly string_binary: string;
  readonly ByteArray: string;
  readonly NullableByteArray: string;
  readonly DateTime: string;
  readonly Guid: string;
  readonly MacAddress: string;
  readonly double: number;
  readonly uint8: number;
  readonly uint16: number;
  readonly uint32: number;
  readonly uint64: number;
  readonly int32: number;
  readonly int64: number;
}

type WithoutSince<Text> = Text extends `${infer Type} ${string}` ? Type : never;

type ValueOf<Types extends SchemaTypes, Type> = Type extends `${infer Item}[]`
  ? readonly ValueOf<Types, Item>[]
  : Type extends `{${string}:${infer Item}}`
    ? { readonly [key: string]: ValueOf<Types, Item> }
    : Type extends `{${infer Item}}`
      ? { readonly [name: string]: ValueOf<Types, Item> }
      : Type extends keyof Scalars
        ? Scalars[Type]
        : Type extends keyof Types
          ? SchemaType<Types, Type>
          : never;

/** The TypeScript type of a type in a table. Every field is optional, since the references do not say which are not. */
export type SchemaType<
  Types extends SchemaTypes,
  Name extends keyof Types,
> = Types[Name] extends readonly (infer Value)[]
  ? WithoutSince<Value>
  : { readonly [Field in keyof Types[Name]]?: ValueOf<Types, WithoutSince<Types[Name][Field]>> };

/** Which build of Windows introduced which minor version of a schema. */
export interface SchemaReleases {
  readonly name: "HCS" | "HCN";
  readonly releases: readonly (readonly [minor: number, build: number])[];
}

/**
 * Builds of Windows that brought the minor versions of HCS schema 2 that the tables have fields from. Source:
 * Microsoft's HCS schema reference.
 */
export const hcsReleases: SchemaReleases = {
  name: "HCS",
  releases: [
    [1, 17_763],
    [2, 18_362],
    [3, 19_041],
    [5, 20_348],
    [6, 22_000],
  ],
};

/**
 * Builds of Windows that brought the minor versions of HCN schema 2 that the tables have fields from. Source:
 * Microsoft's HCN schema reference.
 */
export const hcnReleases: SchemaReleases = {
  name: "HCN",
  releases: [
    [0, 17_763],
    [6, 19_041],
    [11, 20_348],
    [14, 22_000],
  ],
};

/** For whom a value is checked: against which reference, and for which host. */
export interface SchemaOptions {
  readonly releases: SchemaReleases;
  /** Build of the host that the value is for. If absent, every known field and value is accepted. */
  readonly build?: number;
}

const bits = (signed: boolean, count: number): readonly [least: number, most: number] =>
  signed ? [-(2 ** (count - 1)), 2 ** (count - 1) - 1] : [0, 2 ** count - 1];

/** 64-bit numbers are limited to what a JSON number holds exactly. */
const integers: { readonly [type: string]: readonly [least: number, most: number] } = {
  uint8: bits(false, 8),
  uint16: bits(false, 16),
  uint32: bits(false, 32),
  uint64: [0, Number.MAX_SAFE_INTEGER],
  int32: bits(true, 32),
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const texts: { readonly [type: string]: readonly [expected: string, accepts: (text: string) => boolean] } = {
  string: ["a string", () => true],
  string_binary: ["a string", () => true],
  ByteArray: ["base64", (text) => base64Pattern.test(text)],
  NullableByteArray: ["base64", (text) => base64Pattern.test(text)],
  DateTime: ["a date and time", (text) => !Number.isNaN(Date.parse(text))],
  Guid: ["a GUID", (text) => guidPattern.test(text)],
  MacAddress: ["a MAC address", (text) => /^[0-9a-f]{2}([-:]?[0-9a-f]{2}){5}$/i.test(text)],
};

/** Checks a value of a type in a table: known fields only, each of its type, and none that the host is too old for. */
export function schemaCheck<Types extends SchemaTypes, Name extends keyof Types & string>(
  types: Types,
  name: Name,
  options: SchemaOptions,
): Check<SchemaType<Types, Name>> {
  return (value, path = "") => {
    checkValue({ types, options }, name, value, path);
    return value as SchemaType<Types, Name>;
  };
}

interface Context {
  readonly types: SchemaTypes;
  readonly options: SchemaOptions;
}

function checkValue(context: Context, type: string, value: unknown, path: string): void {
  if (type.endsWith("[]")) {
    if (!Array.isArray(value)) throw mismatch(path, "a list", value);
    for (const [index, item] of value.entries()) checkValue(context, type.slice(0, -2), item, `${path}[${index}]`);
  } else if (type.startsWith("{")) checkEntries(context, type.slice(1, -1), value, path);
  else if (Object.hasOwn(context.types, type)) checkNamed(context, type, value, path);
  else checkScalar(type, value, path);
}

function checkEntries(context: Context, type: string, value: unknown, path: string): void {
  const [key, item] = type.includes(":") ? (type.split(":") as [string, string]) : ["string", type];
  for (const [name, member] of Object.entries(objectOf(value, path))) {
    const at = `${path}.${name.slice(0, 60)}`;
    checkScalar(key, /^\d+$/.test(name) && key !== "string" ? Number(name) : name, `${at} (name)`);
    checkValue(context, item, member, at);
  }
}

function checkNamed(context: Context, type: string, value: unknown, path: string): void {
  const { types, options } = context;
  const definition = types[type] ?? {};
  if (Array.isArray(definition)) {
    const found = definition.find((text) => text.slice(0, text.lastIndexOf(" ")) === value);
    if (found === undefined) {
      const values = definition.map((text) => JSON.stringify(text.slice(0, text.lastIndexOf(" "))));
      throw mismatch(path, values.join(" or "), value);
    }
    checkOrigin(options, found, path, JSON.stringify(value));
    return;
  }
  const fields = definition as { readonly [field: string]: FieldText };
  for (const [name, member] of Object.entries(objectOf(value, path))) {
    const at = path === "" ? name : `${path}.${name}`;
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined) {
      throw new SchemaError(at, `unknown field, expected one of ${Object.keys(fields).join(", ")}`);
    }
    if (member === null || member === undefined) continue;
    checkOrigin(options, field, at, "this field");
    checkValue(context, field.slice(0, field.lastIndexOf(" ")), member, at);
  }
}

function checkOrigin({ build, releases: { name, releases } }: SchemaOptions, text: string, path: string, what: string) {
  if (build === undefined) return;
  const since = text.slice(text.lastIndexOf(" ") + 1);
  const minor = since.startsWith("2.") ? Number(since.slice(2)) : undefined;
  const first = minor === undefined ? Number(since) : releases.find(([highest]) => highest >= minor)?.[1];
  const last = releases.at(-1)?.[1] ?? 0;
  if (first === undefined ? build > last : build >= first) return;
  const origin = [
    ...(minor === undefined ? [] : [`version ${since} of the ${name} schema`]),
    first === undefined ? `a build after ${last}` : `build ${first}`,
  ].join(", ");
  throw new SchemaError(path, `host build ${build} does not support ${what}, introduced in ${origin}`);
}

function checkScalar(type: string, value: unknown, path: string): void {
  const range = integers[type];
  const text = texts[type];
  if (range !== undefined) {
    const [least, most] = range;
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
      throw mismatch(path, `an integer from ${least} to ${most}`, value);
    }
  } else if (text !== undefined) {
    const [expected, accepts] = text;
    if (typeof value !== "string" || !accepts(value)) throw mismatch(path, expected, value);
  } else if (type === "bool") {
    if (typeof value !== "boolean") throw mismatch(path, "true or false", value);
  } else if (type === "double") {
    if (typeof value !== "number" || !Number.isFinite(value)) throw mismatch(path, "a number", value);
  } else if (type !== "Any") throw new TypeError(`the schema tables have no type ${type}`);
}

function objectOf(value: unknown, path: string): { readonly [name: string]: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw mismatch(path, "an object", value);
  return value as { readonly [name: string]: unknown };
}

function mismatch(path: string, expected: string, value: unknown): SchemaError {
  return new SchemaError(path, `expected ${expected}, got ${(JSON.stringify(value) ?? "nothing").slice(0, 60)}`);
}
