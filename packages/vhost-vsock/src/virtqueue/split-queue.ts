import { VsockDeviceError } from "../device-error.ts";
import { type GuestMemory, largeNumberAt, type MemoryPart } from "../memory/guest-memory.ts";

const descriptorLength = 16;
const flagNext = 1;
const flagWrite = 2;
const flagIndirect = 4;
const flagNoInterrupt = 1;
const flagNoNotify = 1;
/** Words of a ring: flags, index, entries. */
const flagsWord = 0;
const indexWord = 1;
const entriesOffset = 4;
/** More than drivers put into a table: one of Linux has at most 18 entries for a packet of 64 KiB. */
const mostIndirect = 1024;

/** Where a queue is, in addresses of the machine. */
export interface RingAddresses {
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

/** What the driver has agreed to. */
export interface QueueFeatures {
  readonly indirect: boolean;
  readonly eventIndex: boolean;
}

/** Buffers that the driver offers together, in order. */
export interface BufferChain {
  readonly head: number;
  readonly readable: readonly Uint8Array[];
  readonly writable: readonly Uint8Array[];
}

/**
 * The device's side of a split virtqueue. Whatever a driver writes, it takes bounded time and stays in the guest's memory;
 * what no driver may write throws.
 */
export class SplitQueue {
  readonly #memory: GuestMemory;
  readonly #size: number;
  readonly #features: QueueFeatures;
  readonly #descriptors: MemoryPart;
  readonly #available: MemoryPart;
  readonly #used: MemoryPart;
  /** Index of the next chain to take, as the driver counts: modulo 2^16. */
  #taken: number;
  #returned: number;
  #published: number;
  #wantsKicks = true;

  constructor(memory: GuestMemory, size: number, addresses: RingAddresses, features: QueueFeatures, base: number) {
    this.#memory = memory;
    this.#size = size;
    this.#features = features;
    this.#descriptors = memory.ringAt(addresses.descriptors, size * descriptorLength, 16);
    this.#available = memory.ringAt(addresses.available, entriesOffset + 2 * size + 2, 2);
    this.#used = memory.ringAt(addresses.used, entriesOffset + 8 * size + 2, 4);
    this.#taken = base;
    this.#returned = load(this.#used, indexWord);
    this.#published = this.#returned;
  }

  /** Index of the next chain, where a later queue in the same place goes on. */
  get base(): number {
    return this.#taken;
  }

  /** The next chain, undefined if the driver offers none. Each has to be returned. */
  take(): BufferChain | undefined {
    const offered = (load(this.#available, indexWord) - this.#taken) & 0xffff;
    if (offered === 0) return undefined;
    if (offered > this.#size) throw invalid(`${offered} chains offered, expected at most ${this.#size}`);
    const head = this.#available.view.getUint16(entriesOffset + 2 * (this.#taken % this.#size), true);
    const chain = this.#read(head);
    this.#taken = (this.#taken + 1) & 0xffff;
    return chain;
  }

  /** Gives a chain back with the number of bytes written into it. The driver sees it after `publish`. */
  giveBack(head: number, written: number): void {
    const entry = entriesOffset + 8 * (this.#returned % this.#size);
    this.#used.view.setUint32(entry, head, true);
    this.#used.view.setUint32(entry + 4, written, true);
    this.#returned = (this.#returned + 1) & 0xffff;
  }

  /** Shows the driver what was given back; true if it wants to be interrupted for that. */
  publish(): boolean {
    const before = this.#published;
    if (before === this.#returned) return false;
    this.#published = this.#returned;
    store(this.#used, indexWord, this.#published);
    if (!this.#features.eventIndex) return (load(this.#available, flagsWord) & flagNoInterrupt) === 0;
    const wanted = load(this.#available, indexWord + 1 + this.#size);
    return ((this.#published - wanted - 1) & 0xffff) < ((this.#published - before) & 0xffff);
  }

  /** Asks for a kick with the next chain; true if there is one already, for which none may come. */
  awaitKick(): boolean {
    if (this.#features.eventIndex) store(this.#used, indexWord + 1 + 4 * this.#size, this.#taken);
    else if (!this.#wantsKicks) store(this.#used, flagsWord, 0);
    this.#wantsKicks = true;
    return load(this.#available, indexWord) !== this.#taken;
  }

  /** While chains are taken anyway, kicks only cost time. */
  ignoreKicks(): void {
    if (this.#wantsKicks && !this.#features.eventIndex) store(this.#used, flagsWord, flagNoNotify);
    this.#wantsKicks = false;
  }

  #read(head: number): BufferChain {
    const chain = { head, readable: [] as Uint8Array[], writable: [] as Uint8Array[] };
    let table = this.#descriptors.view;
    let entries = this.#size;
    let isIndirect = false;
    let index = head;
    for (let read = 0; ; read++) {
      if (index >= entries) throw invalid(`descriptor ${index}, expected one below ${entries}`);
      if (read >= entries) throw invalid(`a chain of more than ${entries} descriptors`);
      const at = index * descriptorLength;
      const address = largeNumberAt(table, at);
      const length = table.getUint32(at + 8, true);
      const flags = table.getUint16(at + 12, true);
      const next = table.getUint16(at + 14, true);
      if ((flags & flagIndirect) !== 0) {
        if (!this.#features.indirect || isIndirect || (flags & flagNext) !== 0) {
          throw invalid(`an indirect descriptor where none may be (flags ${flags})`);
        }
        entries = length / descriptorLength;
        if (!Number.isInteger(entries) || entries === 0 || entries > mostIndirect) {
          throw invalid(`an indirect table of ${length} bytes`);
        }
        table = this.#memory.tableAt(address, length);
        isIndirect = true;
        index = 0;
        read = -1;
        continue;
      }
      if ((flags & flagWrite) !== 0) {
        this.#memory.pieces(address, length, chain.writable);
      } else if (chain.writable.length > 0) {
        throw invalid("a readable buffer after a writable one");
      } else {
        this.#memory.pieces(address, length, chain.readable);
      }
      if ((flags & flagNext) === 0) return chain;
      index = next;
    }
  }
}

function load(ring: MemoryPart, word: number): number {
  return Atomics.load(ring.words, ring.firstWord + word);
}

function store(ring: MemoryPart, word: number, value: number): void {
  Atomics.store(ring.words, ring.firstWord + word, value);
}

function invalid(what: string): VsockDeviceError {
  return new VsockDeviceError("queue", `invalid virtqueue: ${what}`);
}
