import type { Duplex } from "node:stream";
import { GcsError, messageOf } from "./error.ts";
import { defaultMaxMessageSize, encodeFrame, type Frame, FrameDecoder, headerSize, type TakenBytes } from "./wire.ts";

export interface BridgeOptions {
  /** Greatest frame in bytes, header included, in both directions. */
  readonly maxMessageSize?: number;
}

/**
 * A chunk of so many bytes may hold hundreds of messages. A peer that sends one after the other would hold all else that
 * the process serves, as a stream's reader goes on while there is something to read.
 */
const longChunk = 16 * 1024;

export interface FrameChannelOptions extends BridgeOptions {
  /** Takes each frame in order. What it throws ends the channel. */
  readonly onFrame: (frame: Frame) => void;
  /** How much of a body is taken; the greatest frame's when absent. */
  readonly takenBytes?: TakenBytes;
  /**
   * Stops reading while the peer does not take what it is sent, so that a peer that only asks cannot fill the memory.
   * One end at most may do so: two would wait for each other.
   */
  readonly readsOnlyWhenDrained: boolean;
  /** Lets whatever else is ready go first after each long chunk. */
  readonly isFair: boolean;
  /** Called once, before `closed` resolves. */
  readonly onClosed: (cause: Error | undefined) => void;
}

/**
 * Frames over a byte stream. It ends exactly once: by `close`, or by the first thing that goes wrong, which is then
 * the cause that all who depend on it are told.
 */
export class FrameChannel {
  /** Resolves when the channel has ended: with the cause, or with undefined when `close` ended it. */
  readonly closed: Promise<Error | undefined>;
  readonly #stream: Duplex;
  readonly #decoder: FrameDecoder;
  readonly #maxMessageSize: number;
  readonly #readsOnlyWhenDrained: boolean;
  readonly #isFair: boolean;
  readonly #onFrame: (frame: Frame) => void;
  readonly #onClosed: (cause: Error | undefined) => void;
  #resolveClosed: (cause: Error | undefined) => void = () => {};
  #ended = false;

  constructor(stream: Duplex, options: FrameChannelOptions) {
    this.#stream = stream;
    this.#maxMessageSize = options.maxMessageSize ?? defaultMaxMessageSize;
    this.#decoder = new FrameDecoder(this.#maxMessageSize, options.takenBytes);
    this.#readsOnlyWhenDrained = options.readsOnlyWhenDrained;
    this.#isFair = options.isFair;
    this.#onFrame = options.onFrame;
    this.#onClosed = options.onClosed;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    stream.on("error", (error) => this.end(unavailable(`the connection failed: ${messageOf(error)}`, error)));
    stream.on("end", () => this.end(this.#peerClosed()));
    stream.on("close", () => this.end(this.#peerClosed()));
    stream.on("drain", () => stream.resume());
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    // A stream that ended before it was handed over sends no event any more.
    if (stream.destroyed || stream.readableEnded) queueMicrotask(() => this.end(this.#peerClosed()));
  }

  get isOpen(): boolean {
    return !this.#ended;
  }

  /** Whether a body of so many bytes makes a frame that may be sent. */
  fits(bodySize: number): boolean {
    return headerSize + bodySize <= this.#maxMessageSize;
  }

  get maxMessageSize(): number {
    return this.#maxMessageSize;
  }

  send(frame: Frame): void {
    if (this.#ended) return;
    const isDrained = this.#stream.write(encodeFrame(frame));
    if (!isDrained && this.#readsOnlyWhenDrained) this.#stream.pause();
  }

  /** Ends the channel; what is not yet written is lost. Repeatable; the first cause stays. */
  end(cause: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.destroy();
    this.#onClosed(cause);
    this.#resolveClosed(cause);
  }

  #take(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      for (const frame of this.#decoder.push(chunk)) {
        this.#onFrame(frame);
        if (this.#ended) return;
      }
    } catch (error) {
      this.end(error instanceof GcsError ? error : new GcsError("Internal", messageOf(error), { cause: error }));
      return;
    }
    if (!this.#isFair || chunk.length < longChunk) return;
    this.#stream.pause();
    setImmediate(() => this.#stream.resume());
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
