import { Duplex } from "node:stream";
import { WindowsError, windowsErrors } from "../native/windows-error.ts";
import type { Completion, CompletionPort, OverlappedOperation } from "./completion-port.ts";

/** The directions in which a handle can be used. */
export type Ways = "both" | "in" | "out";

/** Overlapped calls on a connected handle. Each returns 0 if it completed at once, ERROR_IO_PENDING or another Windows error. */
export interface ConnectedHandle {
  readonly handle: bigint;
  /** Maximum number of chunks in one write. */
  readonly chunksAtATime: number;
  /** Whether each direction can end separately. */
  readonly halves: boolean;
  /** Directions that the handle was opened for. */
  readonly ways: Ways;
  read(structure: Buffer, into: Buffer): number;
  write(structure: Buffer, chunks: readonly Buffer[]): number;
  /** The Windows error of a started call that failed. */
  failure(structure: Buffer): number;
  /** Ends the stream for the other side. */
  endWriting(): number;
  /** Outstanding calls then complete. */
  close(): void;
}

const readBytes = 128 * 1024;
/** Limit of one write: Windows locks its memory. */
const mostWriteBytes = 1024 * 1024;

const endOfPipe: ReadonlySet<number> = new Set([
  windowsErrors.ERROR_BROKEN_PIPE,
  windowsErrors.ERROR_PIPE_NOT_CONNECTED,
]);

interface Write {
  rest: Buffer[];
  readonly callback: (error?: Error | null) => void;
}

/** A stream over a handle of a completion port. Like a socket of Node, it reads ahead up to its high-water mark. */
export class OverlappedStream extends Duplex {
  readonly #connected: ConnectedHandle;
  readonly #reading: OverlappedOperation;
  readonly #writing: OverlappedOperation;
  #memory: Buffer | undefined;
  #released: (() => void) | undefined;

  /** Takes ownership of the handle, which must be attached to the port. */
  constructor(port: CompletionPort, connected: ConnectedHandle) {
    const { halves, ways } = connected;
    const options = { allowHalfOpen: halves, readable: ways !== "out", writable: ways !== "in" };
    super(options);
    this.#connected = connected;
    this.#reading = port.operation(connected.handle);
    this.#writing = port.operation(connected.handle);
    // Detects the end of the other side even without a reader.
    if (ways !== "out") this.read(0);
  }

  override _read(): void {
    if (this.#reading.pending) return;
    const memory = this.#memory ?? Buffer.allocUnsafeSlow(readBytes);
    this.#memory = memory;
    const error = this.#reading.start(
      (structure) => this.#connected.read(structure, memory),
      (completion) => this.#readCompleted(completion, memory),
      memory,
    );
    if (error !== 0) this.#readFailed(error);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#write({ rest: [chunk], callback });
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this.#write({ rest: chunks.map(({ chunk }) => chunk), callback });
  }

  override _final(callback: (error?: Error | null) => void): void {
    const error = this.#connected.endWriting();
    callback(error === 0 ? null : new WindowsError("shutdown", error));
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#reading.cancel();
    this.#writing.cancel();
    this.#connected.close();
    this.#released = () => callback(error);
    this.#releaseWhenIdle();
  }

  #readCompleted({ status, transferred }: Completion, memory: Buffer): void {
    if (this.destroyed) {
      this.#releaseWhenIdle();
      return;
    }
    if (status !== 0) {
      this.#readFailed(this.#connected.failure(this.#reading.structure));
      return;
    }
    if (transferred === 0) {
      this.push(null);
      return;
    }
    const read = memory.subarray(0, transferred);
    // Small reads are copied, so that they do not keep the whole buffer alive.
    if (transferred < readBytes / 2) {
      this.push(Buffer.from(read));
      return;
    }
    this.#memory = undefined;
    this.push(read);
  }

  #readFailed(error: number): void {
    if (endOfPipe.has(error)) this.push(null);
    else this.destroy(new WindowsError("read", error));
  }

  #write(write: Write): void {
    const chunks = firstOf(write.rest, this.#connected.chunksAtATime);
    if (chunks.length === 0) {
      write.callback();
      return;
    }
    const error = this.#writing.start(
      (structure) => this.#connected.write(structure, chunks),
      (completion) => this.#writeCompleted(completion, write),
      ...chunks,
    );
    if (error !== 0) write.callback(new WindowsError("write", error));
  }

  #writeCompleted({ status, transferred }: Completion, write: Write): void {
    if (this.destroyed) {
      write.callback(new WindowsError("write", windowsErrors.ERROR_OPERATION_ABORTED));
      this.#releaseWhenIdle();
      return;
    }
    if (status !== 0) {
      write.callback(new WindowsError("write", this.#connected.failure(this.#writing.structure)));
      return;
    }
    write.rest = without(write.rest, transferred);
    this.#write(write);
  }

  #releaseWhenIdle(): void {
    if (!this.#reading.pending && !this.#writing.pending) this.#released?.();
  }
}

/** The chunks, or parts of them, that fit one write. */
function firstOf(chunks: readonly Buffer[], most: number): Buffer[] {
  const taken: Buffer[] = [];
  let left = mostWriteBytes;
  for (const chunk of chunks) {
    if (left === 0 || taken.length === most) break;
    const piece = chunk.subarray(0, left);
    if (piece.length > 0) taken.push(piece);
    left -= piece.length;
  }
  return taken;
}

function without(chunks: readonly Buffer[], bytes: number): Buffer[] {
  const rest: Buffer[] = [];
  let gone = bytes;
  for (const chunk of chunks) {
    if (gone < chunk.length) rest.push(chunk.subarray(gone));
    gone = Math.max(0, gone - chunk.length);
  }
  return rest;
}
