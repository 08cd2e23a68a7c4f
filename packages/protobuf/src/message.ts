import protobuf from "protobufjs/minimal.js";

const { Reader, Writer } = protobuf;
type Reader = protobuf.Reader;
type Writer = protobuf.Writer;

/** A message: `T` as decoded, with defaults for what was absent; `I` as encoded. Constructed, it has the defaults. */
export interface Message<T, I = T> {
  new (properties?: I): T;
  encode(message: I): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** Values of one message by field. */
type Values = Record<string, unknown>;
type MessageClass = Message<Values, Values> & { readonly [table]: Table };
/** The namespaces in which messages have their full names. */
type Roots = () => object;

interface Kind {
  readonly wireType: 0 | 1 | 2 | 5;
  readonly absent: unknown;
  readonly type: "number" | "boolean" | "string" | "bytes";
  read(reader: Reader): unknown;
  write(writer: Writer, value: never): void;
}

interface Field {
  readonly number: number;
  readonly name: string;
  readonly label: "single" | "optional" | "repeated" | "map";
  /** Kind of a map's keys. */
  readonly key: Kind | undefined;
  /** Kind of a scalar; undefined for a message. */
  readonly kind: Kind | undefined;
  readonly message: () => Table;
}

interface Table {
  readonly fields: readonly Field[];
  readonly byNumber: ReadonlyMap<number, Field>;
  readonly create: () => Values;
}

const table = Symbol("table");

const number = (wireType: 0 | 1 | 5, name: NumberName): Kind => ({
  wireType,
  absent: 0,
  type: "number",
  read: (reader) => reader[name]() as number,
  write: (writer, value) => void writer[name](value),
});
type NumberName = "int32" | "sint32" | "uint32" | "fixed32" | "sfixed32" | "float" | "double";

/** Numbers are exact up to 2^53, where a library for longer ones is installed too. */
const longNumber = (wireType: 0 | 1, name: LongName): Kind => ({
  wireType,
  absent: 0,
  type: "number",
  read: (reader) => Number(reader[name]()),
  write: (writer, value) => void writer[name](value < 2 ** 63 ? value : greatest(value, name)),
});
type LongName = "int64" | "sint64" | "uint64" | "fixed64" | "sfixed64";

/** 2^64 - 1 is no JavaScript number, and a counter must not wrap around. */
function greatest(value: number, name: LongName): number {
  if (name === "uint64" || name === "fixed64") return value < 2 ** 64 ? value : words(-1, -1);
  return words(-1, 0x7fffffff);
}

/** The writer takes the words of a long number as well. */
function words(low: number, high: number): number {
  return { low, high, unsigned: false } as unknown as number;
}

const kinds: { readonly [name: string]: Kind } = {
  string: {
    wireType: 2,
    absent: "",
    type: "string",
    read: (reader) => reader.stringVerify(),
    write: (writer, value) => void writer.string(value),
  },
  bytes: {
    wireType: 2,
    absent: new Uint8Array(),
    type: "bytes",
    read: (reader) => reader.bytes(),
    write: (writer, value) => void writer.bytes(value),
  },
  bool: {
    wireType: 0,
    absent: false,
    type: "boolean",
    read: (reader) => reader.bool(),
    write: (writer, value) => void writer.bool(value),
  },
  enum: number(0, "int32"),
  int32: number(0, "int32"),
  sint32: number(0, "sint32"),
  uint32: number(0, "uint32"),
  int64: longNumber(0, "int64"),
  sint64: longNumber(0, "sint64"),
  uint64: longNumber(0, "uint64"),
  fixed32: number(5, "fixed32"),
  sfixed32: number(5, "sfixed32"),
  float: number(5, "float"),
  fixed64: longNumber(1, "fixed64"),
  sfixed64: longNumber(1, "sfixed64"),
  double: number(1, "double"),
};

/**
 * Makes the messages of generated code, which has each as a text of its fields: `1 id string,2 pid uint32,3* names string`.
 * After the number, `?` means that absence is told from the default, `*` that the field is repeated, and `string:` a map with
 * such keys. A type that is no scalar is the full name of a message, found below `roots`. Nothing is read of the text
 * before the first use of a message.
 */
export function messages(roots: Roots): <T>(fields: string, nested?: object) => T {
  return <T>(fields: string, nested?: object) => Object.assign(messageOf(fields, roots), nested) as T;
}

function messageOf(text: string, roots: Roots): MessageClass {
  let known: Table | undefined;
  class Message {
    constructor(properties?: Values) {
      initialise(this as Values, Message[table].fields, properties);
    }
    static get [table](): Table {
      if (known === undefined) {
        known = tableOf(text, roots, () => new Message() as Values);
        giveDefaults(Message.prototype as Values, known.fields);
      }
      return known;
    }
    static encode(message: Values): { finish(): Uint8Array } {
      const writer = Writer.create();
      write(writer, Message[table], message, 0);
      return writer;
    }
    static decode(bytes: Uint8Array): Values {
      const message = new Message() as Values;
      readInto(message, Reader.create(bytes), Message[table], 0);
      return message;
    }
  }
  return Message as unknown as MessageClass;
}

function tableOf(text: string, roots: Roots, create: Table["create"]): Table {
  const fields = text === "" ? [] : text.split(",").map((field) => fieldOf(field, roots));
  return { fields, byNumber: new Map(fields.map((field) => [field.number, field])), create };
}

function fieldOf(text: string, roots: Roots): Field {
  const [start = "", name = "", type = ""] = text.split(" ");
  const { number, label = "", key } = /^(?<number>\d+)(?<label>[?*])?(?:(?<key>\w+):)?$/.exec(start)?.groups ?? {};
  const kind = kinds[type];
  let message: Table | undefined;
  return {
    number: Number(number),
    name,
    label: key !== undefined ? "map" : label === "*" ? "repeated" : label === "?" ? "optional" : "single",
    key: key === undefined ? undefined : kinds[key],
    kind,
    message: () => {
      message ??= find(roots(), type)[table];
      return message;
    },
  };
}

function find(roots: object, name: string): MessageClass {
  let at: unknown = roots;
  for (const part of name.split(".")) at = (at as Values)[part];
  return at as MessageClass;
}

function giveDefaults(prototype: Values, fields: readonly Field[]): void {
  for (const { name, label, kind } of fields) {
    if (label === "repeated" || label === "map") continue;
    set(prototype, name, label === "optional" || kind === undefined ? null : kind.absent);
  }
}

function initialise(message: Values, fields: readonly Field[], properties: Values | undefined): void {
  for (const { name, label } of fields) {
    if (label === "repeated") message[name] = [];
    else if (label === "map") message[name] = {};
    const given = properties?.[name];
    if (given !== undefined && given !== null) set(message, name, given);
  }
}

const deepest = Reader.recursionLimit;

function write(writer: Writer, { fields }: Table, message: Values, depth: number): void {
  if (depth > deepest) throw new RangeError("nested too deeply");
  for (const field of fields) {
    const { number, name, label, kind } = field;
    const value = Object.hasOwn(message, name) ? message[name] : undefined;
    if (value === undefined || value === null) continue;
    if (label === "repeated") writeRepeated(writer, field, value, depth);
    else if (label === "map") writeMap(writer, field, value as Values, depth);
    else if (kind === undefined || label === "optional" || !isAbsent(kind, value)) {
      writeOne(writer, field, number, value, depth);
    }
  }
}

function isAbsent(kind: Kind, value: unknown): boolean {
  return kind.type === "bytes" ? (value as Uint8Array).length === 0 : value === kind.absent;
}

function writeOne(writer: Writer, field: Field, number: number, value: unknown, depth: number): void {
  const { kind } = field;
  if (kind !== undefined) {
    check(field, kind, value);
    writer.uint32((number << 3) | kind.wireType);
    kind.write(writer, value as never);
    return;
  }
  if (typeof value !== "object" || value === null) throw mistyped(field, "a message", value);
  writer.uint32((number << 3) | 2).fork();
  write(writer, field.message(), value as Values, depth + 1);
  writer.ldelim();
}

function writeRepeated(writer: Writer, field: Field, values: unknown, depth: number): void {
  if (!Array.isArray(values)) throw mistyped(field, "an array", values);
  if (values.length === 0) return;
  const { kind, number } = field;
  if (kind === undefined || kind.wireType === 2) {
    for (const value of values) writeOne(writer, field, number, value, depth);
    return;
  }
  writer.uint32((number << 3) | 2).fork();
  for (const value of values) {
    check(field, kind, value);
    kind.write(writer, value as never);
  }
  writer.ldelim();
}

function writeMap(writer: Writer, field: Field, values: Values, depth: number): void {
  const { key: keyKind, number } = field;
  if (typeof values !== "object" || keyKind === undefined) throw mistyped(field, "an object", values);
  for (const [key, value] of Object.entries(values)) {
    writer.uint32((number << 3) | 2).fork();
    writer.uint32((1 << 3) | keyKind.wireType);
    keyKind.write(writer, (keyKind.type === "string" ? key : Number(key)) as never);
    writeOne(writer, field, 2, value, depth);
    writer.ldelim();
  }
}

function check(field: Field, { type }: Kind, value: unknown): void {
  const isOfType = type === "bytes" ? value instanceof Uint8Array : typeof value === type;
  if (!isOfType) throw mistyped(field, type === "bytes" ? "a Uint8Array" : `a ${type}`, value);
}

function mistyped({ name }: Field, expected: string, value: unknown): TypeError {
  return new TypeError(`${name}: expected ${expected}, got ${Array.isArray(value) ? "an array" : typeof value}`);
}

function readInto(message: Values, reader: Reader, { byNumber }: Table, depth: number): void {
  if (depth > deepest) throw new RangeError("nested too deeply");
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    const field = byNumber.get(tag >>> 3);
    if (field === undefined || !readField(message, reader, field, tag & 7, depth)) skip(reader, tag, depth);
  }
}

function skip(reader: Reader, tag: number, depth: number): void {
  reader.skipType(tag & 7, depth, tag >>> 3);
}

/** Calls `read` with the reader's end at the end of a field that has a length. */
function within(reader: Reader, read: () => void): void {
  const outer = reader.len;
  const end = reader.uint32() + reader.pos;
  if (end > outer) throw new RangeError(`index out of range: ${end} > ${outer}`);
  reader.len = end;
  read();
  reader.len = outer;
}

/** False when the field is not on the wire as its type is. */
function readField(message: Values, reader: Reader, field: Field, wireType: number, depth: number): boolean {
  const { name, label, kind } = field;
  if (label === "map") {
    if (wireType !== 2) return false;
    readEntry(message[name] as Values, reader, field, depth);
    return true;
  }
  if (label === "repeated" && kind !== undefined && kind.wireType !== 2 && wireType === 2) {
    const values = message[name] as unknown[];
    within(reader, () => {
      while (reader.pos < reader.len) values.push(kind.read(reader));
    });
    return true;
  }
  if (wireType !== (kind?.wireType ?? 2)) return false;
  if (label === "repeated") {
    (message[name] as unknown[]).push(kind === undefined ? readMessage(reader, field, depth) : kind.read(reader));
    return true;
  }
  if (kind === undefined) {
    message[name] = readMessage(reader, field, depth, message[name] as Values | null);
    return true;
  }
  const value = kind.read(reader);
  if (label === "single" && isAbsent(kind, value)) delete message[name];
  else message[name] = value;
  return true;
}

/** A message that is on the wire twice has the fields of both. */
function readMessage(reader: Reader, field: Field, depth: number, earlier?: Values | null): Values {
  const known = field.message();
  const message = earlier ?? known.create();
  within(reader, () => readInto(message, reader, known, depth + 1));
  return message;
}

function readEntry(values: Values, reader: Reader, field: Field, depth: number): void {
  const { key: keyKind, kind } = field;
  let key: unknown = keyKind?.absent;
  let value: unknown = kind?.absent;
  within(reader, () => {
    while (reader.pos < reader.len) {
      const tag = reader.tag();
      if (tag >>> 3 === 1 && (tag & 7) === keyKind?.wireType) key = keyKind.read(reader);
      else if (tag >>> 3 === 2 && (tag & 7) === (kind?.wireType ?? 2)) {
        value = kind === undefined ? readMessage(reader, field, depth) : kind.read(reader);
      } else skip(reader, tag, depth);
    }
  });
  set(values, String(key), value ?? field.message().create());
}

/** Defines `__proto__` like any other name. */
function set(target: Values, name: string, value: unknown): void {
  if (name === "__proto__") {
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[name] = value;
  }
}
