import { closeSync } from "node:fs";
import koffi from "koffi";
import { LinuxCallError } from "./error.ts";
import { invoke, invokeUnlessBusy } from "./libc.ts";

const F_SETPIPE_SZ = 1031;
const FIONREAD = 0x541b;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SPLICE_F_NONBLOCK = 2;
/** Room on the way, in bytes: what the pipe and the socket hold before their writer has to wait. */
const room = 1024 * 1024;
/** Calls in one turn of the event loop, so that one writer does not starve the others. */
const callsPerTurn = 16;
const hasInput = { readable: true, disconnect: true };
const hasRoom = { writable: true };

/**
 * Carries what is written to a pipe on to a stream socket, to its last byte, without the bytes ever leaving the
 * kernel. It owns both descriptors, of which the socket must not block, and closes them when the pipe has no writer
 * any more, when the socket's peer has gone, or on `close`.
 */
export class SplicedOutput {
  /** Resolves when both descriptors are closed. */
  readonly ended: Promise<void>;
  readonly #pipe: number;
  readonly #socket: number;
  readonly #readable: ReturnType<typeof koffi.node.poll>;
  readonly #writable: ReturnType<typeof koffi.node.poll>;
  readonly #onEvent: () => void;
  readonly #end: () => void;
  #onEmpty: (() => void)[] = [];
  #isOpen = true;

  constructor(pipe: number, socket: number) {
    this.#pipe = pipe;
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
    widen(pipe, socket);
    // koffi calls back outside Node's own callback scope, where ticks and promises do not run before the next event.
    this.#onEvent = (): void => {
      this.#readable.stop();
      this.#writable.stop();
      setImmediate(() => this.#carry());
    };
    this.#readable = koffi.node.poll(pipe, hasInput, this.#onEvent);
    this.#writable = koffi.node.poll(socket, hasRoom, this.#onEvent);
    this.#writable.stop();
  }

  /** Resolves once all that was written before the call has been handed to the socket, or the descriptors are closed. */
  emptied(): Promise<void> {
    if (!this.#isOpen || unreadBytes(this.#pipe) === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  /** Repeatable. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#readable.close();
    this.#writable.close();
    closeSync(this.#pipe);
    closeSync(this.#socket);
    this.#tellEmpty();
    this.#end();
  }

  #carry(): void {
    if (!this.#isOpen) return;
    for (let call = 0; call < callsPerTurn && this.#isOpen; call++) {
      const moved = this.#move();
      if (moved === undefined) {
        this.#wait();
        return;
      }
      if (moved === 0) this.close();
    }
    setImmediate(() => this.#carry());
  }

  /** Bytes moved, 0 at the end of either side, undefined when the pipe is empty or the socket full. */
  #move(): number | undefined {
    try {
      return invokeUnlessBusy("splice", "output", this.#pipe, null, this.#socket, null, room, SPLICE_F_NONBLOCK);
    } catch (error) {
      if (error instanceof LinuxCallError && (error.code === "EPIPE" || error.code === "ECONNRESET")) return 0;
      throw error;
    }
  }

  #wait(): void {
    if (unreadBytes(this.#pipe) > 0) {
      this.#writable.start(hasRoom, this.#onEvent);
      return;
    }
    this.#tellEmpty();
    this.#readable.start(hasInput, this.#onEvent);
  }

  #tellEmpty(): void {
    for (const tell of this.#onEmpty.splice(0)) tell();
  }
}

/** Larger buffers mean fewer turns; a kernel that grants no more works with what it has. */
function widen(pipe: number, socket: number): void {
  try {
    invoke("fcntl", "F_SETPIPE_SZ", pipe, F_SETPIPE_SZ, room);
    invoke("setsockopt", "SO_SNDBUF", socket, SOL_SOCKET, SO_SNDBUF, new Int32Array([room]), 4);
  } catch (error) {
    if (!(error instanceof LinuxCallError)) throw error;
  }
}

function unreadBytes(pipe: number): number {
  const count = new Int32Array(1);
  invoke("ioctl", "FIONREAD", pipe, FIONREAD, count);
  return count[0] ?? 0;
}
