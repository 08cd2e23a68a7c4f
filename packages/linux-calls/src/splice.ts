import { closeSync } from "node:fs";
import koffi from "koffi";
import { LinuxCallError } from "./error.ts";
import { invoke, invokeUnlessBusy } from "./libc.ts";

const F_SETPIPE_SZ = 1031;
const F_DUPFD_CLOEXEC = 1030;
const FIONREAD = 0x541b;
const SHUT_WR = 1;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SPLICE_F_NONBLOCK = 2;
/** What the pipe and the socket each hold before their writer has to wait. */
const bufferSize = 1024 * 1024;
const usualPipeSize = 64 * 1024;
const readerLookMs = 5;
/** Calls in one turn of the event loop, so that one writer does not starve the others. */
const callsPerTurn = 16;
const hasInput = { readable: true, disconnect: true };
const canWrite = { writable: true };
const hasPeerClosed = { readable: true, disconnect: true };

/**
 * "ended": the last writer closed the pipe, and the peer read everything and closed; "broken": the peer closed before
 * that; "closed": `close` was called.
 */
export type SpliceEnd = "ended" | "broken" | "closed";

/**
 * Moves everything that is written to a pipe to a stream socket, inside the kernel. After the pipe's last writer it
 * half-closes the socket and waits for the peer to close it. It owns the socket, which must not block. The caller owns
 * the pipe, which is no longer read once the peer has closed.
 */
export class SplicedOutput {
  /** Resolves when the socket is closed. */
  readonly ended: Promise<SpliceEnd>;
  readonly #pipe: number;
  readonly #socket: number;
  readonly #readable: ReturnType<typeof koffi.node.poll>;
  readonly #writable: ReturnType<typeof koffi.node.poll>;
  readonly #onEvent: () => void;
  readonly #end: (how: SpliceEnd) => void;
  #isOpen = true;

  constructor(pipe: number, socket: number) {
    this.#pipe = pipe;
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<SpliceEnd>();
    this.ended = promise;
    this.#end = resolve;
    widen(pipe, socket);
    // koffi calls back outside Node's callback scope, so ticks and promises would not run before the next event.
    this.#onEvent = (): void => {
      this.#readable.stop();
      this.#writable.stop();
      setImmediate(() => this.#carry());
    };
    this.#readable = koffi.node.poll(pipe, hasInput, this.#onEvent);
    this.#writable = koffi.node.poll(socket, canWrite, this.#onEvent);
    this.#writable.stop();
  }

  /** Repeatable. */
  close(): void {
    this.#finish("closed");
  }

  #finish(how: SpliceEnd): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#readable.close();
    this.#writable.close();
    closeSync(this.#socket);
    this.#end(how);
  }

  #carry(): void {
    if (!this.#isOpen) return;
    for (let call = 0; call < callsPerTurn && this.#isOpen; call++) {
      const moved = this.#move();
      if (moved === undefined) {
        this.#wait();
        return;
      }
      if (moved === 0) {
        this.#awaitPeer();
        return;
      }
      if (moved === "broken") this.#finish("broken");
    }
    setImmediate(() => this.#carry());
  }

  /** A peer sends nothing on an output, so any event means that it has closed. */
  #awaitPeer(): void {
    this.#readable.stop();
    try {
      invoke("shutdown", "output", this.#socket, SHUT_WR);
    } catch (error) {
      if (!(error instanceof LinuxCallError)) throw error;
      this.#finish("broken");
      return;
    }
    this.#writable.start(hasPeerClosed, () => {
      this.#writable.stop();
      setImmediate(() => this.#finish("ended"));
    });
  }

  /** Bytes moved, 0 at the end of the pipe, undefined if the pipe is empty or the socket full. */
  #move(): number | "broken" | undefined {
    try {
      return invokeUnlessBusy("splice", "output", this.#pipe, null, this.#socket, null, bufferSize, SPLICE_F_NONBLOCK);
    } catch (error) {
      if (error instanceof LinuxCallError && (error.code === "EPIPE" || error.code === "ECONNRESET")) return "broken";
      throw error;
    }
  }

  #wait(): void {
    if (unreadBytes(this.#pipe) > 0) {
      this.#writable.start(canWrite, this.#onEvent);
      return;
    }
    this.#readable.start(hasInput, this.#onEvent);
  }
}

/** What {@link PipeFiller} tells of its work. */
export interface FillWatcher {
  moved(bytes: number): void;
  /** The pipe is full, or the socket at its end; so many bytes wait at the socket, or then in the pipe, for the reader. */
  waits(unread: number): void;
  /**
   * It has stopped by itself, at the end of the socket, or because something failed: a further read of the socket, or a
   * further write into the pipe, shows which.
   */
  stopped(): void;
}

/**
 * Moves everything that arrives at a stream socket into a pipe, inside the kernel, until the socket's end or `stop`. It
 * has a descriptor of its own of the socket, which must not block, and owns the pipe's. What it has not moved can be read
 * from the socket afterwards.
 *
 * At the socket's end it goes on until the reader has left no more in the pipe than one of the usual size holds. Clients of
 * containerd stop reading when they know the exit, and have taken that much by then, but not a mebibyte.
 */
export class PipeFiller {
  readonly #pipe: number;
  readonly #socket: number;
  readonly #watcher: FillWatcher;
  readonly #readable: ReturnType<typeof koffi.node.poll>;
  readonly #writable: ReturnType<typeof koffi.node.poll>;
  readonly #onEvent: () => void;
  #isOpen = true;
  #unreadAtEnd: number | undefined;

  constructor(socket: number, pipe: number, watcher: FillWatcher) {
    this.#socket = invoke("fcntl", "socket", socket, F_DUPFD_CLOEXEC, 0);
    this.#pipe = pipe;
    this.#watcher = watcher;
    widenPipe(pipe);
    this.#onEvent = (): void => {
      this.#readable.stop();
      this.#writable.stop();
      setImmediate(() => this.#carry());
    };
    this.#readable = koffi.node.poll(this.#socket, hasInput, this.#onEvent);
    this.#writable = koffi.node.poll(pipe, canWrite, this.#onEvent);
    this.#writable.stop();
  }

  /** Repeatable. */
  stop(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#readable.close();
    this.#writable.close();
    closeSync(this.#socket);
    closeSync(this.#pipe);
  }

  #carry(): void {
    for (let call = 0; call < callsPerTurn; call++) {
      if (!this.#isOpen) return;
      const moved = this.#move();
      if (moved === 0) {
        this.#awaitReader();
        return;
      }
      if (moved === undefined) {
        this.#wait();
        return;
      }
      if (moved === "failed") {
        this.#stopItself();
        return;
      }
      this.#watcher.moved(moved);
    }
    setImmediate(() => this.#carry());
  }

  #stopItself(): void {
    this.stop();
    this.#watcher.stopped();
  }

  #awaitReader(): void {
    if (!this.#isOpen) return;
    const unread = unreadBytes(this.#pipe);
    if (unread <= usualPipeSize) {
      this.#stopItself();
      return;
    }
    if (unread !== this.#unreadAtEnd) this.#watcher.waits(unread);
    this.#unreadAtEnd = unread;
    // A pipe tells its writer when there is room, and not when so much has been read.
    setTimeout(() => this.#awaitReader(), readerLookMs);
  }

  /** Bytes moved, 0 at the end, undefined if the socket is empty or the pipe full. */
  #move(): number | "failed" | undefined {
    try {
      return invokeUnlessBusy("splice", "output", this.#socket, null, this.#pipe, null, bufferSize, SPLICE_F_NONBLOCK);
    } catch (error) {
      if (error instanceof LinuxCallError) return "failed";
      throw error;
    }
  }

  #wait(): void {
    const unread = unreadBytes(this.#socket);
    if (unread > 0) {
      this.#watcher.waits(unread);
      if (this.#isOpen) this.#writable.start(canWrite, this.#onEvent);
      return;
    }
    this.#readable.start(hasInput, this.#onEvent);
  }
}

/** Larger buffers mean fewer turns of the event loop; the default sizes work too. */
function widen(pipe: number, socket: number): void {
  widenPipe(pipe);
  try {
    invoke("setsockopt", "SO_SNDBUF", socket, SOL_SOCKET, SO_SNDBUF, new Int32Array([bufferSize]), 4);
  } catch (error) {
    if (!(error instanceof LinuxCallError)) throw error;
  }
}

function widenPipe(pipe: number): void {
  try {
    invoke("fcntl", "F_SETPIPE_SZ", pipe, F_SETPIPE_SZ, bufferSize);
  } catch (error) {
    if (!(error instanceof LinuxCallError)) throw error;
  }
}

function unreadBytes(descriptor: number): number {
  const count = new Int32Array(1);
  invoke("ioctl", "FIONREAD", descriptor, FIONREAD, count);
  return count[0] ?? 0;
}
