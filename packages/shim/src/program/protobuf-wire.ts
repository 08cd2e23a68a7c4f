/**
 * The small part of the protobuf encoding that `-info`, `start` and `delete` need: they run for milliseconds, and loading
 * the generated classes would take longer than their work. The serving mode uses the generated classes.
 */
export interface WireField {
  readonly number: number;
  readonly value: bigint | Uint8Array;
}

/** The top-level fields in order. Throws when the bytes are not a protobuf message. */
export function decodeFields(bytes: Uint8Array): WireField[] {
  const fields: WireField[] = [];
  let offset = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[offset++];
      if (byte === undefined) break;
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, result);
    }
    throw new Error(`invalid protobuf: truncated varint at byte ${offset}`);
  };
  const take = (length: bigint): Uint8Array => {
    if (length < 0n || length > BigInt(bytes.length - offset)) {
      throw new Error(`invalid protobuf: field of ${length} bytes at byte ${offset}, the message has ${bytes.length}`);
    }
    const start = offset;
    offset += Number(length);
    return bytes.subarray(start, offset);
  };
  while (offset < bytes.length) {
    const key = varint();
    const number = Number(key >> 3n);
    const type = Number(key & 7n);
    if (number < 1) throw new Error(`invalid protobuf: field number ${number}`);
    if (type === 0) fields.push({ number, value: varint() });
    else if (type === 1) fields.push({ number, value: take(8n) });
    else if (type === 2) fields.push({ number, value: take(varint()) });
    else if (type === 5) fields.push({ number, value: take(4n) });
    else throw new Error(`invalid protobuf: unknown wire type ${type} of field ${number}`);
  }
  return fields;
}

/** The last value of a text field, which protobuf gives precedence; empty when it is absent or not text. */
export function textField(fields: readonly WireField[], number: number): string {
  const value = bytesField(fields, number);
  return value === undefined ? "" : Buffer.from(value).toString("utf8");
}

/** A field of the type string, bytes or message; undefined if it is absent. The last one counts, as protobuf has it. */
export function bytesField(fields: readonly WireField[], number: number): Uint8Array | undefined {
  const value = fields.findLast((field) => field.number === number)?.value;
  return value instanceof Uint8Array ? value : undefined;
}

/** A field that is a number; 0 if it is absent. */
export function numberField(fields: readonly WireField[], number: number): number {
  const value = fields.findLast((field) => field.number === number)?.value;
  return typeof value === "bigint" ? Number(value) : 0;
}

/** Encodes fields in the given order; like proto3, omits empty strings and zeros. */
export function encodeFields(
  fields: readonly (readonly [number: number, value: string | number | Uint8Array])[],
): Buffer {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) {
    if (typeof value === "number") {
      if (value !== 0) parts.push(encodeVarint((number << 3) | 0), encodeVarint(value));
      continue;
    }
    const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
    if (bytes.length > 0) parts.push(encodeVarint((number << 3) | 2), encodeVarint(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** Encodes a google.protobuf.Timestamp. */
export function encodeTimestamp(date: Date): Buffer {
  const milliseconds = date.getTime();
  const seconds = Math.floor(milliseconds / 1000);
  return encodeFields([
    [1, seconds],
    [2, (milliseconds - seconds * 1000) * 1_000_000],
  ]);
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Buffer.from(bytes);
}
