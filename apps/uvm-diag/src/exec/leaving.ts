import { Transform, type TransformCallback } from "node:stream";

/** Ctrl-], by which telnet is left too. */
const leavingKey = 0x1d;
const times = 3;

/** Passes keys on, and calls back when the leaving key was pressed three times in a row: in raw mode Ctrl-C is the guest's. */
export class LeavingKey extends Transform {
  readonly #onLeave: () => void;
  #pressed = 0;

  constructor(onLeave: () => void) {
    super();
    this.#onLeave = onLeave;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    for (const byte of chunk) {
      this.#pressed = byte === leavingKey ? this.#pressed + 1 : 0;
      if (this.#pressed === times) this.#onLeave();
    }
    done(null, chunk);
  }
}
