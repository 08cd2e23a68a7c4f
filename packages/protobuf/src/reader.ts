/** Reads the wire format within bounds: whatever the bytes are, it ends with a value or throws a RangeError. */
const deepest = 100;
const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A varint as two words of 32 bits. */
interface Words {
  low: number;
  high: number;
}

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #words: Words = { low: 0, high: 0 };
  #end: number;
  #offset = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#end = bytes.length;
  }

  get isAtEnd(): boolean {
    return this.#offset >= this.#end;
  }

  /** Field number and wire type, as on the wire. */
  tag(): number {
    const { low, high } = this.#varint();
    if (high !== 0 || low >>> 3 === 0) throw this.#invalid("invalid field number");
    return low >>> 0;
  }

  uint32(): number {
    return this.#varint().low >>> 0;
  }

  int32(): number {
    return this.#varint().low | 0;
  }

  sint32(): number {
    const { low } = this.#varint();
    return (low >>> 1) ^ -(low & 1);
  }

  bool(): boolean {
    const { low, high } = this.#varint();
    return low !== 0 || high !== 0;
  }

  uint64(): number {
    return unsigned(this.#varint());
  }

  int64(): number {
    return signed(this.#varint());
  }

  sint64(): number {
    const { low, high } = this.#varint();
    const sign = -(low & 1);
    return signed({ low: ((low >>> 1) | (high << 31)) ^ sign, high: (high >>> 1) ^ sign });
  }

  fixed32(): number {
    return this.#view(4).getUint32(0, true);
  }

  sfixed32(): number {
    return this.#view(4).getInt32(0, true);
  }

  fixed64(): number {
    const view = this.#view(8);
    return unsigned({ low: view.getInt32(0, true), high: view.getInt32(4, true) });
  }

  sfixed64(): number {
    const view = this.#view(8);
    return signed({ low: view.getInt32(0, true), high: view.getInt32(4, true) });
  }

  float(): number {
    return this.#view(4).getFloat32(0, true);
  }

  double(): number {
    return this.#view(8).getFloat64(0, true);
  }

  /** A view of the message's bytes. */
  bytes(): Uint8Array {
    const length = this.uint32();
    const start = this.#offset;
    this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    return strictText.decode(this.bytes());
  }

  /** Calls `read` with the reader's end at the end of a field that has a length. */
  within<T>(read: () => T): T {
    const length = this.uint32();
    const outer = this.#end;
    if (length > outer - this.#offset) throw this.#invalid("index out of range");
    if (this.#depth >= deepest) throw this.#invalid("nested too deeply");
    this.#end = this.#offset + length;
    this.#depth += 1;
    const value = read();
    this.#depth -= 1;
    this.#end = outer;
    return value;
  }

  /** Skips the value of a field that is not known, or not of the type that it should have. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint();
        return;
      case 1:
        this.#take(8);
        return;
      case 2:
        this.#take(this.uint32());
        return;
      case 3:
        this.#skipGroup(tag >>> 3);
        return;
      case 5:
        this.#take(4);
        return;
      default:
        throw this.#invalid(`invalid wire type ${tag & 7}`);
    }
  }

  #skipGroup(number: number): void {
    if (this.#depth >= deepest) throw this.#invalid("nested too deeply");
    this.#depth += 1;
    for (;;) {
      const tag = this.tag();
      if ((tag & 7) === 4) {
        if (tag >>> 3 !== number) throw this.#invalid("a group ends that has not begun");
        break;
      }
      this.skip(tag);
    }
    this.#depth -= 1;
  }

  /** The words are valid until the next call. */
  #varint(): Words {
    const words = this.#words;
    words.low = 0;
    words.high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#offset < this.#end ? (this.#bytes[this.#offset++] as number) : -1;
      if (byte === -1) throw this.#invalid("index out of range");
      const bits = byte & 0x7f;
      if (shift < 32) words.low |= bits << shift;
      if (shift === 28) words.high = bits >>> 4;
      else if (shift > 28) words.high |= bits << (shift - 32);
      if (byte < 0x80) return words;
    }
    throw this.#invalid("invalid varint");
  }

  #view(length: number): DataView {
    const start = this.#offset;
    this.#take(length);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + start, length);
  }

  #take(length: number): void {
    if (length > this.#end - this.#offset) throw this.#invalid("index out of range");
    this.#offset += length;
  }

  #invalid(what: string): RangeError {
    return new RangeError(`${what} at byte ${this.#offset} of ${this.#bytes.length}`);
  }
}

function unsigned({ low, high }: Words): number {
  return (high >>> 0) * 0x1_0000_0000 + (low >>> 0);
}

function signed({ low, high }: Words): number {
  return (high | 0) * 0x1_0000_0000 + (low >>> 0);
}
