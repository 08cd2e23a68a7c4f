import type { Readable, Writable } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";

/** How far the output of a process has got; the drain after its exit judges by it whether anything still moves. */
export class RelayProgress {
  /** Grows whenever the guest gives or the client takes something. */
  steps = 0;
  /** Bytes that the guest has given. */
  given = 0;
  /** Bytes of these that the client has taken, or that were dropped for want of one. */
  taken = 0;
  /** Writes that the client has not taken yet. */
  pending = 0;
}

/** Bytes handed to the client's end that it has not taken yet, above which no more is read from the guest. */
const outputWindow = 256 * 1024;
/** As `outputWindow`, in writes: each holds a kilobyte, and a process may write its output byte by byte. */
const mostWrites = 256;

/** One output on its way to the client. */
export interface OutputRelay {
  /** Resolves when the guest's end has ended or is lost, and the client has what came before. */
  readonly ended: Promise<void>;
  /** Waits for the client no longer: what it has not taken is dropped, and so is what still comes. */
  dropClient(): void;
}

/**
 * Copies what the guest writes to the client. A client that has gone away must not block the process, so from then on
 * the output is read and dropped; one that only takes nothing is waited for, as long as `patience` has it.
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
      // What waits to be written is dropped with it.
      sink.destroy();
      source.resume();
      settle();
    };
    dropClient = giveUp;
    if (patience !== undefined) {
      void isStuck(patience, () => ({ unwritten, taken }), done.signal).then((gaveUp) => gaveUp && giveUp());
    }
    // Several writes at a time, which the stream hands on together: a turn for each chunk would cost more than it.
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
    // A guest's end that broke off has ended; what came before is handed on.
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

/** A client's FIFO does not tell a client that has gone from one that takes nothing. */
export interface ClientPatience {
  readonly clock: Clock;
  /** A client that has taken nothing for so long, though output was waiting, counts as gone; at most twice as long. */
  readonly milliseconds: number;
  /** Told when it has been given up: what it has not taken is lost. */
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

export interface InputOptions {
  readonly clock: Clock;
  /** Resolves when the client has asked to close stdin: what it wrote before is still copied. */
  readonly closing: Promise<void>;
  /** Milliseconds without a byte after which a client that asked to close has nothing more to give. */
  readonly closingQuietMs: number;
}

/**
 * Copies what the client writes to the guest, whose stdin is closed with the client's end. That does not end while the
 * client has not asked for it, whoever writes to it comes and goes.
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
    // A client's end that broke off is a client that has gone away.
  }
  ended.abort();
  // A client that writes on to a process which reads no more gets a broken pipe instead of waiting for ever.
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
