/** What a driver writes into the descriptor table. */
export interface FakeDescriptor {
  readonly address: number;
  readonly length: number;
  readonly isWritable?: boolean;
  readonly next?: number;
  readonly flags?: number;
}

const flagNext = 1;
const flagWrite = 2;
const flagIndirect = 4;

/** The driver's side of a split virtqueue in memory that begins at the guest's address 0. Each slot is a chain's head. */
export class FakeRing {
  readonly places: { readonly descriptors: number; readonly available: number; readonly used: number };
  /** Chains that were ever offered. */
  available = 0;
  readonly size: number;
  readonly #view: DataView;
  readonly #eventIndex: boolean;
  readonly #tables: number;
  #kicked = 0;
  #used = 0;
  #free: number[];

  constructor(view: DataView, start: number, size: number, eventIndex: boolean) {
    this.#view = view;
    this.size = size;
    this.#eventIndex = eventIndex;
    this.places = { descriptors: start, available: start + 0x2000, used: start + 0x3000 };
    this.#tables = start + 0x4000;
    this.#free = Array.from({ length: size }, (_, slot) => slot);
  }

  reset(): void {
    const { descriptors, used } = this.places;
    for (let at = descriptors; at < used + 0x1000; at += 4) this.#view.setUint32(at, 0, true);
    this.available = 0;
    this.#kicked = 0;
    this.#used = 0;
    this.#free = Array.from({ length: this.size }, (_, slot) => slot);
  }

  /** Whether the device has given back all that was offered, whether or not the driver has looked. */
  get isIdle(): boolean {
    return this.#view.getUint16(this.places.used + 2, true) === this.available;
  }

  freeSlot(): number | undefined {
    return this.#free.shift();
  }

  describe(slot: number, descriptor: FakeDescriptor): void {
    this.#write(this.places.descriptors + slot * 16, descriptor);
  }

  /** Describes consecutive buffers of these lengths by an indirect table. */
  describeTable(slot: number, address: number, lengths: readonly number[]): void {
    const table = this.#tables + slot * 64;
    let at = address;
    for (const [place, length] of lengths.entries()) {
      const isLast = place === lengths.length - 1;
      this.#write(table + place * 16, { address: at, length, ...(isLast ? {} : { next: place + 1 }) });
      at += length;
    }
    this.describe(slot, { address: table, length: lengths.length * 16, flags: flagIndirect });
  }

  offer(head: number): void {
    const { available } = this.places;
    this.#view.setUint16(available + 4 + 2 * (this.available % this.size), head, true);
    this.available = (this.available + 1) & 0xffff;
    this.#view.setUint16(available + 2, this.available, true);
  }

  /** Whether the device wants to know of what was offered since the last time. */
  wantsKick(): boolean {
    const { used } = this.places;
    const before = this.#kicked;
    this.#kicked = this.available;
    if (!this.#eventIndex) return (this.#view.getUint16(used, true) & 1) === 0;
    const event = this.#view.getUint16(used + 4 + 8 * this.size, true);
    return ((this.available - event - 1) & 0xffff) < ((this.available - before) & 0xffff);
  }

  takeUsed(each: (slot: number, length: number) => void): void {
    const { used, available } = this.places;
    while (this.#view.getUint16(used + 2, true) !== this.#used) {
      const entry = used + 4 + 8 * (this.#used % this.size);
      const slot = this.#view.getUint32(entry, true);
      this.#used = (this.#used + 1) & 0xffff;
      this.#free.push(slot);
      each(slot, this.#view.getUint32(entry + 4, true));
    }
    if (this.#eventIndex) this.#view.setUint16(available + 4 + 2 * this.size, this.#used, true);
  }

  #write(at: number, { address, length, isWritable = false, next, flags = 0 }: FakeDescriptor): void {
    this.#view.setBigUint64(at, BigInt(address), true);
    this.#view.setUint32(at + 8, length, true);
    const all = flags | (isWritable ? flagWrite : 0) | (next === undefined ? 0 : flagNext);
    this.#view.setUint16(at + 12, all, true);
    this.#view.setUint16(at + 14, next ?? 0, true);
  }
}
