import type { MappedMemory } from "@uvm-shim/linux-calls";
import { VsockDeviceError } from "../device-error.ts";

/** A part of the guest's memory, under the addresses that the guest and the machine have for it. */
export interface MemoryRegion {
  readonly guestAddress: number;
  /** In the machine's process: the addresses of rings are told in these. */
  readonly userAddress: number;
  readonly size: number;
  readonly mapping: MappedMemory;
}

/** Where a ring or a table is, for reading and writing numbers. */
export interface MemoryPart {
  readonly view: DataView;
  /** The words of its region, which can be read and written with barriers. */
  readonly words: Uint16Array;
  /** Index of its first word in those. */
  readonly firstWord: number;
}

interface MappedRegion extends MemoryRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint16Array;
}

/**
 * The guest's memory as the machine has told it. The guest changes it at any time, so whatever is read decides only once
 * it is copied. Each address is checked here and nowhere else.
 */
export class GuestMemory {
  readonly #regions: readonly MappedRegion[];

  constructor(regions: readonly MemoryRegion[]) {
    this.#regions = regions.map((region) => ({
      ...region,
      bytes: new Uint8Array(region.mapping.buffer),
      words: new Uint16Array(region.mapping.buffer, 0, Math.floor(region.size / 2)),
    }));
  }

  /** Bytes at a guest address, in as many pieces as there are regions that have some of them. */
  pieces(address: number, length: number, pieces: Uint8Array[]): void {
    let at = address;
    for (let left = length; left > 0; ) {
      const region = this.#regionAt(at, "guestAddress");
      if (region === undefined) throw outside(address, length);
      const start = at - region.guestAddress;
      const piece = region.bytes.subarray(start, start + left);
      pieces.push(piece);
      at += piece.length;
      left -= piece.length;
    }
  }

  /** A table at a guest address, which one region must have whole. */
  tableAt(address: number, length: number): DataView {
    return this.#part("guestAddress", address, length).view;
  }

  /** A ring at an address of the machine, which one region must have whole. */
  ringAt(address: number, length: number, alignment: number): MemoryPart {
    if (address % alignment !== 0) {
      throw new VsockDeviceError("memory", `invalid ring address ${hex(address)}: expected a multiple of ${alignment}`);
    }
    return this.#part("userAddress", address, length);
  }

  /** Nothing of it can be read or written afterwards. */
  unmap(): void {
    for (const { mapping } of this.#regions) mapping.unmap();
  }

  #part(space: "guestAddress" | "userAddress", address: number, length: number): MemoryPart {
    const region = this.#regionAt(address, space);
    if (region === undefined || address - region[space] + length > region.size) throw outside(address, length);
    const start = address - region[space];
    const view = new DataView(region.mapping.buffer, start, length);
    return { view, words: region.words, firstWord: start / 2 };
  }

  #regionAt(address: number, space: "guestAddress" | "userAddress"): MappedRegion | undefined {
    for (const region of this.#regions) {
      if (address >= region[space] && address - region[space] < region.size) return region;
    }
    return undefined;
  }
}

/** A 64-bit number; beyond 2^53 it is not exact, but so large that no check lets it pass. */
export function largeNumberAt(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
}

function outside(address: number, length: number): VsockDeviceError {
  return new VsockDeviceError("memory", `${length} bytes at ${hex(address)} are outside the guest's memory`);
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
