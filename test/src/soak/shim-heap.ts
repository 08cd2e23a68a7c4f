import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { makeLoadedShim } from "../support/loaded-shim.ts";

/** What a shim's heap holds after a collection, in bytes. */
export interface ShimHeap {
  readonly objects: number;
  /** Functions, compiled and optimised the more the more often they ran. */
  readonly code: number;
  /** What belongs to objects but lies beside the heap. */
  readonly buffers: number;
  /** What keeps its event loop alive, a kind each: sockets, timers, files and the like. */
  readonly handles: readonly string[];
}

/** As heap-reporter.cjs reports it. */
interface Holdings {
  readonly spaces: readonly (readonly [name: string, bytes: number])[];
  readonly buffers: number;
  readonly handles: readonly string[];
}

const ANSWER_MS = 10_000;
const CODE_SPACE = /code|trusted/;

/** A shim that reports its heap. */
export class ReportingShim {
  readonly executable: string;
  readonly #socket: string;

  /** @param directory an empty one that nobody else may enter. */
  constructor(directory: string) {
    this.executable = makeLoadedShim(directory, import.meta.resolve("./heap-reporter.cjs"), ["--expose-gc"]);
    this.#socket = join(directory, "heap.sock");
  }

  get environment(): { readonly [name: string]: string } {
    return { UVM_SHIM_TEST_HEAP_SOCKET: this.#socket };
  }

  async read(): Promise<ShimHeap> {
    const socket = connect(this.#socket);
    socket.setTimeout(ANSWER_MS, () =>
      socket.destroy(new Error(`the shim did not report its heap within ${ANSWER_MS} ms`)),
    );
    const { spaces, buffers, handles } = JSON.parse(await text(socket)) as Holdings;
    const used = (isCode: boolean): number =>
      spaces.reduce((sum, [name, bytes]) => (CODE_SPACE.test(name) === isCode ? sum + bytes : sum), 0);
    return { objects: used(false), code: used(true), buffers, handles };
  }
}
