import type { Readable, Writable } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";

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

/** One output stream on its way to the client. */
export interface OutputRelay {
  /** Resolves when the guest's end has ended or is lost, and the client has everything that came before. */
  readonly ended: Promise<void>;
  /** Stops waiting for the client: unread and further output is dropped. */
  dropClient(): void;
}

/**
 * Copies the guest's output to the client. A client that is gone must not block the process, so from then on the output
 * is read and dropped. A client that only stops reading is given the time of `patience`.
 */
export function copyOutput(
  source: Readable,
  sink: Writable,
  progress: RelayProgress,
  patience?: ClientPatience,
): OutputRelay {
  let dropClient = (): void => {};
  const ended = new Promise<void>((resolve) => {
    let clientIsThere = true;
    let hasEnded = false;
    let unwritten = 0;
    let writes = 0;
    const isFull = (): boolean => unwritten >= outputWindow || writes >= mostWrites;
    const done = new AbortController();
    const settle = (): void => {
      if (!hasEnded || (unwritten > 0 && clientIsThere)) return;
      done.abort();
      resolve();
    };
    let taken = 0;
    const giveUp = (): void => {
      clientIsThere = false;
      // Drops what was not written yet.
      sink.destroy();
      source.resume();
      settle();
    };
    dropClient = giveUp;
    if (patience !== undefined) {
      void isStuck(patience, () => ({ unwritten, taken }), done.signal).then((gaveUp) => gaveUp && giveUp());
    }
    // Several writes may be pending, so that the stream can combine them: one turn of the event loop per chunk is slow.
    const write = (chunk: Uint8Array): void => {
      unwritten += chunk.length;
      writes++;
      progress.pending++;
      if (isFull()) source.pause();
      sink.write(chunk, (error) => {
        unwritten -= chunk.length;
        writes--;
        taken++;
        progress.pending--;
        progress.steps++;
        progress.taken += chunk.length;
        if (error !== null && error !== undefined) clientIsThere = false;
        if (!isFull() && source.isPaused()) source.resume();
        settle();
      });
    };
    sink.on("error", ignore);
    // A broken guest's end counts as ended; the client still gets what came before.
    source.on("error", ignore);
    const onEnd = (): void => {
      hasEnded = true;
      settle();
    };
    source.on("end", onEnd).on("close", onEnd);
    source.on("data", (chunk: Uint8Array) => {
      progress.steps++;
      progress.given += chunk.length;
      if (clientIsThere) write(chunk);
      else progress.taken += chunk.length;
    });
    if (source.destroyed) onEnd();
  });
  return { ended, dropClient };
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
