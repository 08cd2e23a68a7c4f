import type { NativeMachine } from "./native-types.ts";

/** Room for a pointer or a handle that a call gives out. */
export const pointerRoom = (): Buffer => Buffer.alloc(8);

/** The texts that a DLL gives out, which are its caller's to free. */
export class HostTexts {
  readonly #machine: NativeMachine;
  readonly #free: (address: bigint) => void;

  constructor(machine: NativeMachine, free: (address: bigint) => void) {
    this.#machine = machine;
    this.#free = free;
  }

  /** What a call left in its room, which is freed by that; undefined where it left nothing. */
  take(room: Buffer): string | undefined {
    const address = room.readBigUInt64LE();
    if (address === 0n) return undefined;
    room.writeBigUInt64LE(0n);
    try {
      return this.#machine.readText(address);
    } finally {
      this.#free(address);
    }
  }
}
