import type { Readable, Writable } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";
import type { OutputMove } from "./output-move.ts";

/** Counts the output of a process, so that the drain after its exit can see whether there is progress. */
export class RelayProgress {
  /** Grows with each chunk that the guest sends or the client reads. */
  steps = 0;
  /** Bytes that the guest has sent. */
  given = 0;
  /** Bytes of these that the client has read, or that were dropped because it is gone. */
  taken = 0;
  /** Writes that the client has not read yet. */
  pending = 0;
}

/** Unread bytes at the client's end above which no more is read from the guest. */
const outputWindow = 256 * 1024;
/** The same in writes: each costs a kilobyte of memory, and a process may write its output byte by byte. */
const mostWrites = 256;

/** A read of this size means that more is waiting: it is all that Node reads at once. */
const fullRead = 64 * 1024;
/** After so many full reads, output counts as much, and is moved without being read where that is possible. */
const readsOfMuch = 64;

/** One output stream on its way to the client. */
export interface OutputRelay {
  /** Resolves when the guest's end has ended or is lost, and the client has everything that came before. */
  readonly ended: Promise<void>;
  /** Stops waiting for the client: unread and further output is dropped. */
  dropClient(): void;
}

/** How an output is copied. */
export interface OutputOptions {
  /** How long a client may read nothing; without limit when absent. */
  readonly patience?: ClientPatience | undefined;
  /** Prepares to move the rest without reading it. */
  readonly move?: (() => Promise<OutputMove | undefined>) | undefined;
}

/**
 * Copies the guest's output to the client. A client that is gone must not block the process, so from then on the output
 * is read and dropped. A client that only stops reading is given the time of `patience`.
 */
export function copyOutput(
  source: Readable,
  sink: Writable,
  progress: RelayProgress,
  options: OutputOptions = {},
): OutputRelay {
  return new Copying(source, sink, progress, options);
}

class Copying implements OutputRelay {
  readonly ended: Promise<void>;
  readonly #source: Readable;
  readonly #sink: Writable;
  readonly #progress: RelayProgress;
  readonly #prepareMove: OutputOptions["move"];
  readonly #done = new AbortController();
  readonly #resolve: () => void;
  #clientIsThere = true;
  #hasEnded = false;
  /** Bytes and writes that the client has not read yet. */
  #unwritten = 0;
  #writes = 0;
  /** Grows with each write that the client has read. */
  #taken = 0;
  #fullReads = 0;
  /** Prepared, but the output is still copied. */
  #prepared: OutputMove | undefined;
  #moving: OutputMove | undefined;
  #isMoveStuck = false;
  /** Bytes of the move that count as given already, since they wait for the client. */
  #announced = 0;

  constructor(source: Readable, sink: Writable, progress: RelayProgress, { patience, move }: OutputOptions) {
    this.#source = source;
    this.#sink = sink;
    this.#progress = progress;
    this.#prepareMove = move;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#resolve = resolve;
    if (patience !== undefined) {
      const look = () => ({ unwritten: this.#unwritten, taken: this.#taken });
      void isStuck(patience, look, this.#done.signal).then((gaveUp) => gaveUp && this.dropClient());
    }
    sink.on("error", ignore);
    // A broken guest's end counts as ended; the client still gets what came before.
    source.on("error", ignore);
    const onEnd = (): void => {
      this.#hasEnded = true;
      this.#stopMove();
      this.#settle();
    };
    source.on("end", onEnd).on("close", onEnd);
    source.on("data", (chunk: Uint8Array) => this.#read(chunk));
    if (source.destroyed) onEnd();
  }

  dropClient(): void {
    this.#clientIsThere = false;
    // Drops what was not written yet.
    this.#sink.destroy();
    this.#stopMove();
    this.#source.resume();
    this.#settle();
  }

  get #isFull(): boolean {
    return this.#unwritten >= outputWindow || this.#writes >= mostWrites;
  }

  #settle(): void {
    if (!this.#hasEnded || (this.#unwritten > 0 && this.#clientIsThere)) return;
    this.#done.abort();
    this.#resolve();
  }

  #read(chunk: Uint8Array): void {
    this.#progress.steps++;
    this.#progress.given += chunk.length;
    if (!this.#clientIsThere) {
      this.#progress.taken += chunk.length;
      return;
    }
    // Several writes may be pending, so that the stream can combine them: one turn of the event loop per chunk is slow.
    this.#unwritten += chunk.length;
    this.#writes++;
    this.#progress.pending++;
    if (this.#isFull) this.#source.pause();
    this.#sink.write(chunk, (error) => this.#written(chunk, error));
    if (chunk.length >= fullRead) this.#considerMove();
  }

  #written({ length }: Uint8Array, error: Error | null | undefined): void {
    this.#unwritten -= length;
    this.#writes--;
    this.#taken++;
    this.#progress.pending--;
    this.#progress.steps++;
    this.#progress.taken += length;
    if (error !== null && error !== undefined) this.#clientIsThere = false;
    if (!this.#isFull && this.#source.isPaused()) this.#source.resume();
    this.#beginMove();
    this.#settle();
  }

  /** Called within the event of a read, when the stream itself holds nothing more unless it was paused. */
  #considerMove(): void {
    this.#fullReads++;
    if (this.#fullReads === readsOfMuch) {
      this.#prepareMove?.().then(
        (move) => {
          this.#prepared = move;
        },
        // Then it is copied, as before.
        () => {},
      );
    }
    if (this.#prepared === undefined || this.#source.readableLength > 0) return;
    this.#moving = this.#prepared;
    this.#prepared = undefined;
    this.#moving.hold();
    this.#beginMove();
  }

  #beginMove(): void {
    if (this.#moving === undefined || this.#writes > 0) return;
    if (!this.#clientIsThere) {
      this.#stopMove();
      return;
    }
    const progress = this.#progress;
    this.#moving.begin({
      moved: (bytes) => {
        this.#unstick();
        this.#taken++;
        progress.steps++;
        progress.taken += bytes;
        this.#announce(Math.max(this.#announced, bytes));
        this.#announced -= bytes;
      },
      waits: (unread) => {
        if (this.#isMoveStuck && unread < this.#unwritten) {
          this.#taken++;
          progress.steps++;
        }
        this.#unstick();
        this.#isMoveStuck = true;
        progress.pending++;
        this.#unwritten = unread;
        this.#announce(unread);
      },
      stopped: () => this.#endMove(),
    });
  }

  #announce(bytes: number): void {
    this.#progress.given += bytes - this.#announced;
    this.#announced = bytes;
  }

  #unstick(): void {
    if (!this.#isMoveStuck) return;
    this.#isMoveStuck = false;
    this.#progress.pending--;
    this.#unwritten = 0;
  }

  #stopMove(): void {
    this.#moving?.stop();
    this.#endMove();
  }

  #endMove(): void {
    this.#moving = undefined;
    this.#unstick();
    // What was not moved is read.
    this.#announce(0);
  }
}

/** How long to wait for a client that does not read; a FIFO does not show whether it is gone. */
export interface ClientPatience {
  readonly clock: Clock;
  /** After this time without a read while output was waiting, at most twice as long, the client counts as gone. */
  readonly milliseconds: number;
  /** Called when the client counts as gone: its unread output is lost. */
  readonly onGivenUp: () => void;
}

async function isStuck(
  { clock, milliseconds, onGivenUp }: ClientPatience,
  look: () => { readonly unwritten: number; readonly taken: number },
  done: AbortSignal,
): Promise<boolean> {
  while (!done.aborted) {
    const before = look();
    try {
      await clock.delay(milliseconds, done);
    } catch {
      return false;
    }
    if (before.unwritten > 0 && look().taken === before.taken) {
      onGivenUp();
      return true;
    }
  }
  return false;
}

/** What decides when the copy of a client's input ends. */
export interface InputOptions {
  readonly clock: Clock;
  /** Resolves when the client has asked to close stdin; what it wrote before is still copied. */
  readonly closing: Promise<void>;
  /** After a request to close: the time without a byte after which nothing more is expected. */
  readonly closingQuietMs: number;
}

/**
 * Copies the client's input to the guest and closes the guest's stdin when the client's end closes. That end stays open
 * until the client asks for its closing, however many writers come and go.
 */
export async function copyInput(source: Readable, sink: Writable, options: InputOptions): Promise<void> {
  sink.on("error", ignore);
  source.on("error", ignore);
  const progress = { steps: 0, waitsForClient: true };
  const ended = new AbortController();
  void endWhenQuiet(source, progress, options, ended.signal);
  try {
    for await (const chunk of source) {
      progress.waitsForClient = false;
      if (!(await written(sink, chunk))) break;
      progress.steps++;
      progress.waitsForClient = true;
    }
  } catch {
    // A broken client's end means that the client is gone.
  }
  ended.abort();
  // A client that still writes gets a broken pipe instead of blocking on a process that no longer reads.
  source.destroy();
  sink.end();
}

async function endWhenQuiet(
  source: Readable,
  progress: { readonly steps: number; readonly waitsForClient: boolean },
  options: InputOptions,
  ended: AbortSignal,
): Promise<void> {
  await options.closing;
  while (!ended.aborted) {
    const stepsBefore = progress.steps;
    try {
      await options.clock.delay(options.closingQuietMs, ended);
    } catch {
      return;
    }
    const isQuiet = progress.waitsForClient && progress.steps === stepsBefore && source.readableLength === 0;
    if (isQuiet) source.destroy();
  }
}

function written(sink: Writable, chunk: unknown): Promise<boolean> {
  return new Promise((resolve) => {
    sink.write(chunk, (error) => resolve(error === null || error === undefined));
  });
}

function ignore(): void {}
