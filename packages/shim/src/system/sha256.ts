/** SHA-256 (FIPS 180-4) of short texts. Loading node:crypto for it takes a tenth of the time of a `start`. */

const blockBytes = 64;
const lengthBytes = 8;

/** The first 32 bits of the fractional part of a root of each of the first primes. */
function fractions(count: number, root: (prime: number) => number): Uint32Array {
  const found: number[] = [];
  for (let candidate = 2; found.length < count; candidate += 1) {
    let factor = 2;
    while (candidate % factor !== 0) factor += 1;
    if (factor === candidate) found.push((root(candidate) % 1) * 2 ** 32);
  }
  return Uint32Array.from(found);
}

/** The digest of a text's UTF-8 bytes, in hexadecimal digits. */
export function sha256(text: string): string {
  const state = fractions(8, Math.sqrt);
  const constants = fractions(64, Math.cbrt);
  const schedule = new Uint32Array(64);
  const message = padded(Buffer.from(text));
  for (let offset = 0; offset < message.length; offset += blockBytes) {
    for (let word = 0; word < 16; word += 1) schedule[word] = message.readUInt32BE(offset + word * 4);
    expand(schedule);
    compress(state, schedule, constants);
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

function padded(bytes: Buffer): Buffer {
  const length = Math.ceil((bytes.length + 1 + lengthBytes) / blockBytes) * blockBytes;
  const message = Buffer.alloc(length);
  bytes.copy(message);
  message[bytes.length] = 0x80;
  message.writeBigUInt64BE(BigInt(bytes.length) * 8n, length - lengthBytes);
  return message;
}

function expand(schedule: Uint32Array): void {
  const at = (word: number): number => schedule[word] ?? 0;
  for (let word = 16; word < 64; word += 1) {
    const [early, late] = [at(word - 15), at(word - 2)];
    const low = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
    const high = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
    schedule[word] = at(word - 16) + low + at(word - 7) + high;
  }
}

function compress(state: Uint32Array, schedule: Uint32Array, constants: Uint32Array): void {
  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  let e = state[4] ?? 0;
  let f = state[5] ?? 0;
  let g = state[6] ?? 0;
  let h = state[7] ?? 0;
  for (let round = 0; round < 64; round += 1) {
    const mixed = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    const chosen = (e & f) ^ (~e & g);
    const first = (h + mixed + chosen + (constants[round] ?? 0) + (schedule[round] ?? 0)) | 0;
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const second = ((rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + majority) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  for (const [index, value] of [a, b, c, d, e, f, g, h].entries()) state[index] = (state[index] ?? 0) + value;
}

function rotated(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
