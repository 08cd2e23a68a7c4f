/** Makes bytes of other bytes: cheaply, so that most of the time is the decoder's. */
export type Random = () => number;

/** What decoders of this project stumble over, if they do. */
const tokens = [
  ...[
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "0",
    "-0",
    "1e999",
    "-1",
    "9007199254740993",
    "0.1e-400",
  ],
  ...[
    "__proto__",
    "constructor",
    "prototype",
    "$unknowns",
    "toString",
    "length",
    '{"length":1e9}',
    "\\u0000",
    "\\ud800",
  ],
  ...[
    "\n",
    "\r\n",
    "\0",
    "\u2028",
    "\ufeff",
    "\u212a",
    "\u017f",
    "ÿ",
    " ",
    "\t",
    "/",
    "../",
    "%00",
    "%",
    "=",
    "#",
    "''",
    "[[a]]",
  ],
  ...["a=1\n", "1979-05-27T07:32:00Z", "inf", "nan", "0x", "\\040", " - ", "shared:1", "x".repeat(300)],
].map((token) => Buffer.from(token));

const integers = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
];
const longest = 64 * 1024;
const mostChanges = 6;
const mostRepetitions = 4000;

export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[below(random, from.length)] as T;
}

export function mutateBytes(random: Random, pool: readonly Uint8Array[]): Buffer {
  let bytes = Buffer.from(pick(random, pool));
  // One change is the most likely to pass what comes first.
  const changes = 1 + Math.floor(random() ** 2 * mostChanges);
  for (let change = 0; change < changes; change += 1) bytes = changed(random, bytes, pool);
  return bytes.length > longest ? bytes.subarray(0, longest) : bytes;
}

function changed(random: Random, bytes: Buffer, pool: readonly Uint8Array[]): Buffer<ArrayBuffer> {
  const at = below(random, bytes.length + 1);
  const to = Math.min(bytes.length, at + 1 + below(random, random() < 0.8 ? 8 : bytes.length + 1));
  const around = (middle: Uint8Array): Buffer<ArrayBuffer> =>
    Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(to)]);
  const inserted = (middle: Uint8Array): Buffer<ArrayBuffer> =>
    Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(at)]);
  switch (below(random, 9)) {
    case 0: {
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8));
      return Buffer.from(bytes);
    }
    case 1: {
      if (at < bytes.length) bytes[at] = below(random, 256);
      return Buffer.from(bytes);
    }
    case 2:
      return inserted(pick(random, tokens));
    case 3:
      return around(pick(random, tokens));
    case 4:
      return around(Buffer.alloc(0));
    case 5:
      return inserted(bytes.subarray(at, to));
    case 6: {
      const other = pick(random, pool);
      const from = below(random, other.length + 1);
      return around(other.subarray(from, from + below(random, other.length + 1 - from)));
    }
    case 7:
      return withInteger(random, bytes, at);
    default: {
      // Repetition finds what takes the square of its input's length; it is rare, since it takes long.
      if (random() < 0.99) return Buffer.from(bytes.subarray(0, at));
      const piece = bytes.subarray(at, Math.min(to, at + 16));
      return inserted(Buffer.concat(new Array<Uint8Array>(1 + below(random, mostRepetitions)).fill(piece)));
    }
  }
}

function withInteger(random: Random, bytes: Buffer, at: number): Buffer<ArrayBuffer> {
  const copy = Buffer.from(bytes);
  const value = pick(random, integers);
  const space = copy.length - at;
  if (space >= 4 && random() < 0.6) {
    if (random() < 0.5) copy.writeUInt32LE(value, at);
    else copy.writeUInt32BE(value, at);
  } else if (space >= 2) copy.writeUInt16LE(value & 0xffff, at);
  else if (space >= 1) copy.writeUInt8(value & 0xff, at);
  return copy;
}
