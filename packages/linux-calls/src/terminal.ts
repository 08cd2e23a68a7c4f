import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { Duplex } from "node:stream";
import koffi from "koffi";
import { invoke } from "./libc.ts";
import { emptyOf, windowSize } from "./structures.ts";

const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const TIOCSWINSZ = 0x5414;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const chunkSize = 64 * 1024;

/** Both ends of a new pseudo terminal. */
export interface Terminal {
  /** The controlling end, for a `TerminalStream`. */
  readonly controller: number;
  /** The end of a process, which stays open until a process has inherited it. */
  readonly process: number;
  /** Opened by the leader of a session, it becomes the session's terminal. */
  readonly path: string;
}

/** The caller owns both descriptors. */
export function openTerminal(): Terminal {
  const controller = openSync("/dev/ptmx", constants.O_RDWR | constants.O_NOCTTY);
  try {
    invoke("ioctl", "TIOCSPTLCK", controller, TIOCSPTLCK, Buffer.alloc(4));
    const number = Buffer.alloc(4);
    invoke("ioctl", "TIOCGPTN", controller, TIOCGPTN, number);
    const path = `/dev/pts/${number.readUInt32LE()}`;
    return { controller, process: openSync(path, constants.O_RDWR | constants.O_NOCTTY), path };
  } catch (error) {
    closeSync(controller);
    throw error;
  }
}

/** Shared by all streams: a read is synchronous and its bytes are copied out at once. */
const received = Buffer.allocUnsafe(chunkSize);

/**
 * The controlling end of a pseudo terminal as a stream, which owns the descriptor. It ends once no process has the other
 * end open. Node's own terminal streams block on writes, so that a process that does not read its terminal would stop
 * the event loop.
 */
export class TerminalStream extends Duplex {
  readonly #descriptor: number;
  #poll: ReturnType<typeof koffi.node.poll> | undefined;
  #isReading = false;
  #unwritten: { rest: Buffer; readonly done: (error?: Error) => void } | undefined;

  constructor(descriptor: number) {
    super({ allowHalfOpen: false, readableHighWaterMark: chunkSize });
    this.#descriptor = descriptor;
    const flags = invoke("fcntl", "F_GETFL", descriptor, F_GETFL, 0);
    invoke("fcntl", "F_SETFL", descriptor, F_SETFL, flags | O_NONBLOCK);
  }

  /** In characters. Does nothing if the stream is closed. */
  resize(rows: number, columns: number): void {
    if (this.destroyed) return;
    const size = emptyOf(windowSize);
    koffi.encode(size, windowSize, { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 });
    invoke("ioctl", `TIOCSWINSZ ${rows}x${columns}`, this.#descriptor, TIOCSWINSZ, size);
  }

  override _read(): void {
    this.#isReading = true;
    this.#watch();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#unwritten = { rest: chunk, done };
    this.#writeSome();
    this.#watch();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#poll?.close();
    this.#poll = undefined;
    closeSync(this.#descriptor);
    done(error);
  }

  #watch(): void {
    const interest = { readable: this.#isReading, writable: this.#unwritten !== undefined };
    if (!interest.readable && !interest.writable) {
      this.#poll?.stop();
      return;
    }
    // koffi calls back outside Node's callback scope, so ticks and promises would not run before the next event.
    const onEvent = (): void => {
      this.#poll?.stop();
      setImmediate(() => this.#progress());
    };
    if (this.#poll === undefined) this.#poll = koffi.node.poll(this.#descriptor, interest, onEvent);
    else this.#poll.start(interest, onEvent);
  }

  #progress(): void {
    if (this.destroyed) return;
    this.#writeSome();
    this.#readSome();
    if (!this.destroyed) this.#watch();
  }

  #readSome(): void {
    if (!this.#isReading) return;
    const count = attempt(() => readSync(this.#descriptor, received, 0, received.length, null));
    if (count === undefined) return;
    this.#isReading = false;
    this.push(count === 0 ? null : Buffer.from(received.subarray(0, count)));
  }

  #writeSome(): void {
    const pending = this.#unwritten;
    if (pending === undefined) return;
    const count = attempt(() => writeSync(this.#descriptor, pending.rest));
    if (count === undefined) return;
    pending.rest = pending.rest.subarray(count);
    // If no process has the other end open, the bytes are lost, as on a disconnected line.
    if (count > 0 && pending.rest.length > 0) return;
    this.#unwritten = undefined;
    pending.done();
  }
}

/** Undefined if the terminal is not ready; 0 if no process has its other end open. */
function attempt(act: () => number): number | undefined {
  try {
    return act();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EAGAIN") return undefined;
    if (code === "EIO") return 0;
    throw error;
  }
}
