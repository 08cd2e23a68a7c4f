import { chmodSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { DISTRIBUTION } from "../support/programs.ts";

/** What a shim's heap holds after a collection, in bytes. */
export interface ShimHeap {
  readonly objects: number;
  /** Functions, compiled and optimised the more the more often they ran. */
  readonly code: number;
  /** What belongs to objects but lies beside the heap. */
  readonly buffers: number;
}

/** As heap-teller.cjs tells it. */
interface Holdings {
  readonly spaces: readonly (readonly [name: string, bytes: number])[];
  readonly buffers: number;
}

const ANSWER_MS = 10_000;
const CODE_SPACE = /code|trusted/;

/**
 * A shim that tells its heap: the program that ships, with a module of the test's loaded before it. What ships has no way
 * to be asked, since others than the test would find it.
 */
export class TellingShim {
  readonly executable: string;
  readonly #socket: string;

  /** @param directory an empty one that nobody else may enter. */
  constructor(directory: string) {
    this.executable = join(directory, "containerd-shim-lcow-v2");
    this.#socket = join(directory, "heap.sock");
    const [lib, teller] = [join(DISTRIBUTION, "lib"), fileURLToPath(import.meta.resolve("./heap-teller.cjs"))];
    const options = ["--disable-sigusr1", "--expose-gc", `--require=${teller}`].join(" ");
    writeFileSync(this.executable, `#!/bin/sh\nexec "${lib}/node" ${options} "${lib}/shim-lcow.cjs" "$@"\n`);
    chmodSync(this.executable, 0o755);
  }

  get environment(): { readonly [name: string]: string } {
    return { UVM_SHIM_TEST_HEAP_SOCKET: this.#socket };
  }

  async read(): Promise<ShimHeap> {
    const socket = connect(this.#socket);
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`the shim told no heap in ${ANSWER_MS} ms`)));
    const { spaces, buffers } = JSON.parse(await text(socket)) as Holdings;
    const used = (isCode: boolean): number =>
      spaces.reduce((sum, [name, bytes]) => (CODE_SPACE.test(name) === isCode ? sum + bytes : sum), 0);
    return { objects: used(false), code: used(true), buffers };
  }
}
