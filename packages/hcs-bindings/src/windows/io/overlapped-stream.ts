import { Duplex } from "node:stream";
import { WindowsError, windowsErrors } from "../native/windows-error.ts";
import type { Completion, CompletionPort, OverlappedOperation } from "./completion-port.ts";

export type Ways = "both" | "in" | "out";

/** The overlapped calls of a connected handle. Each tells 0 when it is done, ERROR_IO_PENDING or another Windows error. */
export interface ConnectedHandle {
  readonly handle: bigint;
  /** Chunks that one write may take. */
  readonly chunksAtATime: number;
  /** Whether one direction can end before the other. */
  readonly halves: boolean;
  /** Which ways bytes can go: one may have been opened for reading or for writing only. */
  readonly ways: Ways;
  read(structure: Buffer, into: Buffer): number;
  write(structure: Buffer, chunks: readonly Buffer[]): number;
  /** The Windows error of a call that failed after it was started. */
  failure(structure: Buffer): number;
  /** Tells the other side that nothing more comes. */
  endWriting(): number;
  /** What is outstanding then completes. */
  close(): void;
}

const readBytes = 128 * 1024;
/** The system locks the memory of a write. */
const mostWriteBytes = 1024 * 1024;

const endOfPipe: ReadonlySet<number> = new Set([
  windowsErrors.ERROR_BROKEN_PIPE,
  windowsErrors.ERROR_PIPE_NOT_CONNECTED,
]);

interface Write {
  rest: Buffer[];
  readonly callback: (error?: Error | null) => void;
}

/** Bytes both ways over a handle of a completion port. As a socket of Node's it reads ahead, up to its high-water mark. */
export class OverlappedStream extends Duplex {
  readonly #connected: ConnectedHandle;
  readonly #reading: OverlappedOperation;
  readonly #writing: OverlappedOperation;
  #memory: Buffer | undefined;
  #released: (() => void) | undefined;

  /** Owns the handle from then on, which is attached to the port. */
  constructor(port: CompletionPort, connected: ConnectedHandle) {
    const { halves, ways } = connected;
    const options = { allowHalfOpen: halves, readable: ways !== "out", writable: ways !== "in" };
    super(options);
    this.#connected = connected;
    this.#reading = port.operation(connected.handle);
    this.#writing = port.operation(connected.handle);
    // Also while nobody reads, the end of the other side is noticed.
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
    // What is small is copied, so that it does not keep so much memory alive.
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

/** What one write takes of the chunks. */
function firstOf(chunks: readonly Buffer[], most: number): Buffer[] {
  const taken: Buffer[] = [];
  let room = mostWriteBytes;
  for (const chunk of chunks) {
    if (room === 0 || taken.length === most) break;
    const piece = chunk.subarray(0, room);
    if (piece.length > 0) taken.push(piece);
    room -= piece.length;
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
