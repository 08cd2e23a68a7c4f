const utf8 = new TextEncoder();
const firstSize = 256;

/** Writes the wire format into memory that grows. */
export class Writer {
  #bytes = new Uint8Array(firstSize);
  #length = 0;

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  uint32(value: number): void {
    this.#reserve(5);
    this.#varint(value >>> 0);
  }

  int32(value: number): void {
    if (value < 0) this.int64(value | 0);
    else this.uint32(value);
  }

  sint32(value: number): void {
    this.uint32((value << 1) ^ (value >> 31));
  }

  bool(value: boolean): void {
    this.uint32(value ? 1 : 0);
  }

  int64(value: number): void {
    this.#varint64(...wordsOf(value, 2 ** 63));
  }

  uint64(value: number): void {
    this.#varint64(...wordsOf(value, 2 ** 64));
  }

  sint64(value: number): void {
    const [low, high] = wordsOf(value, 2 ** 63);
    const sign = high >> 31;
    this.#varint64((low << 1) ^ sign, ((high << 1) | (low >>> 31)) ^ sign);
  }

  fixed32(value: number): void {
    this.#view(4).setUint32(0, value, true);
  }

  sfixed32(value: number): void {
    this.fixed32(value);
  }

  fixed64(value: number, end = 2 ** 64): void {
    const [low, high] = wordsOf(value, end);
    const view = this.#view(8);
    view.setInt32(0, low, true);
    view.setInt32(4, high, true);
  }

  sfixed64(value: number): void {
    this.fixed64(value, 2 ** 63);
  }

  float(value: number): void {
    this.#view(4).setFloat32(0, value, true);
  }

  double(value: number): void {
    this.#view(8).setFloat64(0, value, true);
  }

  string(value: string): void {
    // A unit of UTF-16 takes up to three bytes.
    const most = value.length * 3;
    this.#reserve(5 + most);
    if (most < 0x80) {
      const at = this.#length++;
      const { written } = utf8.encodeInto(value, this.#bytes.subarray(this.#length));
      this.#bytes[at] = written;
      this.#length += written;
    } else {
      this.bytes(utf8.encode(value));
    }
  }

  bytes(value: Uint8Array): void {
    this.#reserve(5 + value.length);
    this.#varint(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  #varint64(low: number, high: number): void {
    this.#reserve(10);
    let [rest, upper] = [low >>> 0, high >>> 0];
    while (upper !== 0) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest = ((rest >>> 7) | (upper << 25)) >>> 0;
      upper >>>= 7;
    }
    this.#varint(rest);
  }

  #view(length: number): DataView {
    this.#reserve(length);
    const view = new DataView(this.#bytes.buffer, this.#length, length);
    this.#length += length;
    return view;
  }
}

/**
 * The low and the high word of an integer in two's complement. A value from `end` on becomes the greatest of the type:
 * 2^64 - 1 is no JavaScript number, and a counter must not wrap around.
 */
function wordsOf(value: number, end: number): readonly [low: number, high: number] {
  if (value >= end) return [-1, (end / 0x1_0000_0000 - 1) | 0];
  const whole = Math.trunc(value);
  return [whole | 0, Math.floor(whole / 0x1_0000_0000) | 0];
}
