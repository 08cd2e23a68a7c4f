import type { NativeMachine } from "./native-types.ts";

/** Memory for an output parameter of a call: a pointer or a handle. */
export const outputPointer = (): Buffer => Buffer.alloc(8);

/** Texts that a DLL allocates and its caller must free. */
export class AllocatedTexts {
  readonly #machine: NativeMachine;
  readonly #free: (address: bigint) => void;

  constructor(machine: NativeMachine, free: (address: bigint) => void) {
    this.#machine = machine;
    this.#free = free;
  }

  /** Reads and frees the text of an output parameter; undefined if the call returned none. */
  take(output: Buffer): string | undefined {
    const address = output.readBigUInt64LE();
    if (address === 0n) return undefined;
    output.writeBigUInt64LE(0n);
    try {
      return this.#machine.readText(address);
    } finally {
      this.#free(address);
    }
  }
}
