import { AsyncLocalStorage } from "node:async_hooks";
import type { Duplex } from "node:stream";
import { encodeHeader, type Frame, FrameDecoder, type FrameType, headerLength } from "./frame.ts";
import { TtrpcError } from "./status.ts";
import type { Turn } from "./turns.ts";

/** Up to this size, copying a payload behind its header costs less than handing the stream two buffers. */
const copyLimit = 4096;

/** What a channel is made from, beside its stream. */
export interface ChannelOptions {
  /** In bytes of payload, for both directions. */
  readonly maxMessageSize: number;
  /** Returns a promise to stop reading until it resolves; it must not reject. */
  readonly onFrame: (frame: Frame) => Promise<void> | undefined;
  /** Called once, with a reason unless the end was orderly. */
  readonly onClosed: (reason: TtrpcError | undefined) => void;
  /** Why there is no room for a payload that has been announced, if there is none. */
  readonly admit?: ((length: number) => TtrpcError | undefined) | undefined;
  /** Told of the bytes that the peer leaves unread: above what the stream is willing to hold, or 0. */
  readonly onUnread?: ((bytes: number) => void) | undefined;
  /** When frames may be looked at; absent if they always may. */
  readonly turn?: Turn | undefined;
}

/** Sends and receives frames over a Duplex. */
export class Channel {
  /** Resolves when the stream has ended, with a reason unless the end was orderly; never rejects. */
  readonly closed: Promise<TtrpcError | undefined>;
  readonly #stream: Duplex;
  readonly #options: ChannelOptions;
  readonly #decoder: FrameDecoder;
  readonly #resolveClosed: (reason: TtrpcError | undefined) => void;
  #isClosed = false;
  #held = false;
  #isGathering = false;
  #drainWaiters: (() => void)[] = [];

  constructor(stream: Duplex, options: ChannelOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#decoder = new FrameDecoder(options.maxMessageSize, options.admit);
    const { promise, resolve } = Promise.withResolvers<TtrpcError | undefined>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    // Node runs the listeners of an accepted connection in no context, or in that of whatever has failed before.
    const inContext = AsyncLocalStorage.snapshot();
    stream.on("error", (error) => {
      const reason = new TtrpcError("Unavailable", `The connection failed: ${error.message}`, { cause: error });
      inContext(() => this.destroy(reason));
    });
    if (stream.destroyed || stream.readableEnded) {
      // Deferred, because the owner's constructor has not finished yet.
      const reason = new TtrpcError("Unavailable", "The connection had ended before it was used.");
      process.nextTick(() => this.destroy(reason));
      return;
    }
    stream.on("drain", () => inContext(() => this.#drained()));
    stream.on("end", () => inContext(() => this.#ended()));
    stream.on("close", () => inContext(() => this.#ended()));
    stream.on("data", (chunk: Buffer) =>
      inContext(() => {
        this.#decoder.push(chunk);
        this.#deliver();
      }),
    );
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The length of a payload that has been admitted and has not been delivered. */
  get unfinishedBytes(): number {
    return this.#decoder.unfinishedBytes;
  }

  /** Whether the peer reads more slowly than this side writes. */
  get congested(): boolean {
    return !this.#isClosed && this.#stream.writableNeedDrain;
  }

  /** Resolves once the stream accepts more, or has ended. */
  drained(): Promise<void> {
    if (!this.congested) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  /** Writes a frame; does nothing on a closed channel. Throws ResourceExhausted for a payload above the maximum. */
  send(streamId: number, type: FrameType, flags: number, payload: Uint8Array): void {
    if (payload.length > this.#options.maxMessageSize) throw oversize(payload.length, this.#options.maxMessageSize);
    if (this.#isClosed || !this.#stream.writable) return;
    this.#gather();
    const copied = payload.length <= copyLimit;
    const head = Buffer.allocUnsafe(copied ? headerLength + payload.length : headerLength);
    encodeHeader(head, streamId, type, flags, payload.length);
    if (copied) {
      head.set(payload, headerLength);
      this.#stream.write(head);
    } else {
      this.#stream.write(head);
      this.#stream.write(payload);
    }
    if (this.#options.onUnread !== undefined && this.#stream.writableNeedDrain) {
      this.#options.onUnread(this.#stream.writableLength);
    }
  }

  /** Frames of one turn of the event loop go out together: a system call for each costs more than all else of a call. */
  #gather(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#stream.cork();
    // Ticks come after the promises that are settled by now, and so after the answers to what has arrived together.
    process.nextTick(() => this.#release());
  }

  #release(): void {
    if (!this.#isGathering) return;
    this.#isGathering = false;
    this.#stream.uncork();
  }

  /** Ends the connection in order, after what was written before. */
  end(): void {
    if (this.#isClosed) return;
    this.#release();
    this.#stream.end(() => this.destroy());
  }

  /** Ends the connection at once. */
  destroy(reason?: TtrpcError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release();
    this.#stream.destroy();
    this.#drained();
    this.#options.onClosed(reason);
    this.#resolveClosed(reason);
  }

  #deliver(): void {
    const { turn, onFrame } = this.#options;
    while (!this.#isClosed && !this.#held) {
      if (turn?.isOn === false) {
        this.#hold();
        turn.wait(() => this.#goOn());
        return;
      }
      const frame = this.#decoder.next();
      if (frame === undefined) return;
      turn?.spend(frame.kind === "message" ? frame.payload.length : 0);
      const hold = onFrame(frame);
      if (hold === undefined) continue;
      this.#hold();
      void hold.then(() => this.#goOn());
    }
  }

  #hold(): void {
    this.#held = true;
    this.#stream.pause();
  }

  #goOn(): void {
    this.#held = false;
    this.#deliver();
    if (!this.#held && !this.#isClosed) this.#stream.resume();
  }

  #ended(): void {
    const cut = this.#decoder.insideFrame;
    this.destroy(cut ? new TtrpcError("Unavailable", "The connection ended inside a frame.") : undefined);
  }

  #drained(): void {
    this.#options.onUnread?.(0);
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    for (const resolve of waiters) resolve();
  }
}

/** The error for a payload above the maximum. */
export function oversize(length: number, maxMessageSize: number): TtrpcError {
  return new TtrpcError("ResourceExhausted", `The message has ${length} bytes, expected at most ${maxMessageSize}.`);
}
