import type { Readable, Writable } from "node:stream";
import type { ProcessClock } from "./types.ts";

/** How far the output of a process has got; the drain after its exit judges by it whether anything still moves. */
export class RelayProgress {
  /** Grows whenever the guest gives or the client takes something. */
  steps = 0;
  /** Writes that the client has not taken yet. */
  pending = 0;
}

/** Bytes handed to the client's end that it has not taken yet, above which no more is read from the guest. */
const outputWindow = 256 * 1024;

/**
 * Copies what the guest writes to the client until the guest's end has ended or is lost, and the client has what came
 * before. A client that has gone away must not block the process, so from then on the output is read and dropped.
 */
export function copyOutput(source: Readable, sink: Writable, progress: RelayProgress): Promise<void> {
  return new Promise((resolve) => {
    let clientIsThere = true;
    let hasEnded = false;
    let unwritten = 0;
    const settle = (): void => {
      if (hasEnded && unwritten === 0) resolve();
    };
    // Several writes at a time, which the stream hands on together: a turn for each chunk would cost more than it.
    const write = (chunk: Uint8Array): void => {
      unwritten += chunk.length;
      progress.pending++;
      if (unwritten >= outputWindow) source.pause();
      sink.write(chunk, (error) => {
        unwritten -= chunk.length;
        progress.pending--;
        progress.steps++;
        if (error !== null && error !== undefined) clientIsThere = false;
        if (unwritten < outputWindow && source.isPaused()) source.resume();
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
      if (clientIsThere) write(chunk);
    });
    if (source.destroyed) onEnd();
  });
}

export interface InputOptions {
  readonly clock: ProcessClock;
  /** Resolves when the client has asked to close stdin: what it wrote before is still copied. */
  readonly closing: Promise<void>;
  /** Milliseconds without a byte after which a client that asked to close has nothing more to give. */
  readonly closingQuietMs: number;
}

/** Copies what the client writes to the guest. However the client's end ends, the guest's stdin is then closed. */
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
