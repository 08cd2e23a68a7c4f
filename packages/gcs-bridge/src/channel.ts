import type { Duplex } from "node:stream";
import { messageOf } from "@uvm-shim/lifecycle";
import { GcsError } from "./error.ts";
import { defaultMaxMessageSize, encodeFrame, type Frame, FrameDecoder, headerSize, type TakenBytes } from "./wire.ts";

/**
 * Frames handled in one turn of the event loop, after which other work runs. The connection is paused meanwhile, since a
 * stream's reader would otherwise go on for up to 2 MiB.
 */
export const framesPerTurn = 32;
const bytesPerTurn = 256 * 1024;
/** A chunk of this many bytes ends a turn in any case, since more is likely to follow it at once. */
const longChunk = 16 * 1024;

/** What both ends of a bridge can be told. */
export interface BridgeOptions {
  /** Maximum size of a frame in bytes, header included, in both directions. */
  readonly maxMessageSize?: number;
}

/** What a `FrameChannel` is made from, beside its stream. */
export interface FrameChannelOptions extends BridgeOptions {
  /** Receives each frame in order. An error that it throws ends the channel. */
  readonly onFrame: (frame: Frame) => void;
  /** How much of a body is kept; all of it if absent. */
  readonly takenBytes?: TakenBytes;
  /**
   * Stops reading while the peer does not read, so that a peer that only sends requests cannot exhaust the memory. Only
   * one end may do so: two would wait for each other.
   */
  readonly readsOnlyWhenDrained: boolean;
  /** Called once, before `closed` resolves. */
  readonly onClosed: (cause: Error | undefined) => void;
}

/** Frames over a byte stream. It ends exactly once: by `end`, or by the first failure, which becomes the cause. */
export class FrameChannel {
  /** Resolves when the channel has ended: with the cause, or with undefined if it was closed on purpose. */
  readonly closed: Promise<Error | undefined>;
  readonly #stream: Duplex;
  readonly #decoder: FrameDecoder;
  readonly #maxMessageSize: number;
  readonly #readsOnlyWhenDrained: boolean;
  readonly #onFrame: (frame: Frame) => void;
  readonly #onClosed: (cause: Error | undefined) => void;
  #resolveClosed: (cause: Error | undefined) => void = () => {};
  #ended = false;
  /** Frames that have been read wait for the next turn. */
  #isMidway = false;
  /** The peer does not read what it is sent. */
  #isHeldUp = false;
  #hasPeerEnded = false;

  constructor(stream: Duplex, options: FrameChannelOptions) {
    this.#stream = stream;
    this.#maxMessageSize = options.maxMessageSize ?? defaultMaxMessageSize;
    this.#decoder = new FrameDecoder(this.#maxMessageSize, options.takenBytes);
    this.#readsOnlyWhenDrained = options.readsOnlyWhenDrained;
    this.#onFrame = options.onFrame;
    this.#onClosed = options.onClosed;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    stream.on("error", (error) => this.end(unavailable(`the connection failed: ${messageOf(error)}`, error)));
    stream.on("end", () => this.#peerEnds());
    stream.on("close", () => this.#peerEnds());
    stream.on("drain", () => {
      this.#isHeldUp = false;
      this.#readOn();
    });
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    // A stream that has already ended emits no more events.
    if (stream.destroyed || stream.readableEnded) queueMicrotask(() => this.#peerEnds());
  }

  get isOpen(): boolean {
    return !this.#ended;
  }

  /** Whether a frame with a body of this size may be sent. */
  fits(bodySize: number): boolean {
    return headerSize + bodySize <= this.#maxMessageSize;
  }

  get maxMessageSize(): number {
    return this.#maxMessageSize;
  }

  send(frame: Frame): void {
    if (this.#ended) return;
    const isDrained = this.#stream.write(encodeFrame(frame));
    if (isDrained || !this.#readsOnlyWhenDrained) return;
    this.#isHeldUp = true;
    this.#stream.pause();
  }

  /** Unwritten data is lost. Repeatable; the first cause stays. */
  end(cause: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.destroy();
    this.#onClosed(cause);
    this.#resolveClosed(cause);
  }

  #take(chunk: Buffer): void {
    if (!this.#ended) this.#handle(this.#decoder.push(chunk), chunk.length >= longChunk);
  }

  #handle(frames: Generator<Frame, void>, isLong: boolean): void {
    this.#isMidway = false;
    let isDone: boolean | undefined = false;
    let bytes = 0;
    try {
      for (let count = 0; !isDone && count < framesPerTurn && bytes < bytesPerTurn; count++) {
        const { done, value: frame } = frames.next();
        isDone = done;
        if (done) break;
        bytes += headerSize + frame.body.length;
        this.#onFrame(frame);
        if (this.#ended) return;
      }
    } catch (error) {
      this.end(error instanceof GcsError ? error : new GcsError("Internal", messageOf(error), { cause: error }));
      return;
    }
    if (isDone && !isLong) {
      if (this.#hasPeerEnded) this.#peerEnds();
      else this.#readOn();
      return;
    }
    this.#isMidway = true;
    this.#stream.pause();
    setImmediate(() => {
      if (!this.#ended) this.#handle(frames, isLong && !isDone);
    });
  }

  /** What the peer sent before its end is handled first. */
  #peerEnds(): void {
    this.#hasPeerEnded = true;
    if (!this.#isMidway) this.end(this.#peerClosed());
  }

  #readOn(): void {
    if (this.#stream.isPaused() && !this.#isMidway && !this.#isHeldUp) this.#stream.resume();
  }

  #peerClosed(): GcsError {
    return unavailable(
      this.#decoder.isInsideFrame ? "the peer closed the connection inside a frame" : "the peer closed the connection",
    );
  }
}

function unavailable(message: string, cause?: unknown): GcsError {
  return new GcsError("Unavailable", message, { gone: true, cause });
}
