/** Output that goes from the guest's socket to the client's FIFO without being read by this process. */
import { constants, openSync } from "node:fs";
import net from "node:net";
import type { Readable } from "node:stream";
import type { MoveWatcher, OutputMove } from "../platform.ts";

/** What the shim asks of the part with Linux's own calls. Satisfied by packages/linux-calls. */
export interface LinuxCallsPart {
  /** Owns the pipe's descriptor, but not the socket's. `stopped` is told when it has stopped by itself. */
  fillPipe(socket: number, pipe: number, watcher: MoveWatcher): { stop(): void };
}

/** The part of libuv's stream that Node's sockets keep to themselves. */
interface StreamHandle {
  readonly fd: number;
  readStart(): unknown;
  readStop(): unknown;
}

/** Undefined for a stream that is no socket, is closed, or whose Node has become different. */
function handleOf(source: Readable): StreamHandle | undefined {
  if (!(source instanceof net.Socket)) return undefined;
  const { _handle: handle } = source as { readonly _handle?: Partial<StreamHandle> | null };
  const { fd = -1, readStart, readStop } = handle ?? {};
  const isKnown = fd >= 0 && typeof readStart === "function" && typeof readStop === "function";
  return isKnown ? (handle as StreamHandle) : undefined;
}

/** Moves the rest of a socket's bytes to a FIFO. */
export class FifoMove implements OutputMove {
  readonly #calls: LinuxCallsPart;
  readonly #source: Readable;
  readonly #fifo: number;
  #isHeld = false;
  #filling: { stop(): void } | undefined;

  private constructor(calls: LinuxCallsPart, source: Readable, fifo: number) {
    this.#calls = calls;
    this.#source = source;
    this.#fifo = fifo;
    source.once("close", () => this.stop());
  }

  /**
   * Undefined for streams that cannot do without this process.
   *
   * @param fifo a descriptor of the FIFO, which has to stay open until the move is stopped.
   */
  static of(calls: LinuxCallsPart, source: Readable, fifo: number): FifoMove | undefined {
    return handleOf(source) === undefined ? undefined : new FifoMove(calls, source, fifo);
  }

  hold(): void {
    const handle = handleOf(this.#source);
    if (handle === undefined) return;
    this.#isHeld = true;
    // Its mark `reading` stays, or the stream would begin to read again in the next turn.
    handle.readStop();
  }

  begin(watcher: MoveWatcher): void {
    const handle = this.#isHeld ? handleOf(this.#source) : undefined;
    if (handle === undefined) return;
    const stopped = (): void => {
      this.stop();
      watcher.stopped();
    };
    try {
      // Through the descriptor, since the path may lead elsewhere by now.
      const pipe = openSync(`/proc/self/fd/${this.#fifo}`, constants.O_WRONLY | constants.O_NONBLOCK);
      this.#filling = this.#calls.fillPipe(handle.fd, pipe, { ...watcher, stopped });
    } catch {
      stopped();
    }
  }

  stop(): void {
    this.#filling?.stop();
    this.#filling = undefined;
    if (!this.#isHeld) return;
    this.#isHeld = false;
    const handle = handleOf(this.#source);
    if (handle === undefined) return;
    handle.readStart();
  }
}
