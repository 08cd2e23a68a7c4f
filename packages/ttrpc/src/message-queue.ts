import { TtrpcError } from "./status.ts";
import { startTimer } from "./timer.ts";

/** Reading from the connection stops while this many messages wait for their reader. */
const mostMessages = 64;

/** What the queue of one stream's messages is made from. */
export interface MessageQueueOptions<T> {
  readonly decode: (payload: Uint8Array) => T;
  /** Reading from the connection stops while this many bytes wait for their reader. */
  readonly mostBytes: number;
  /** How long, in milliseconds, one reader may block the whole connection. */
  readonly stallMs: number;
  /** Called when the reader has blocked the connection for too long; the queue is still open. */
  readonly onStalled: (error: TtrpcError) => void;
  /** Called when the reader stops, whether it has read all messages or not. */
  readonly onReleased: () => void;
  /** Called with the length of each message that the reader takes. */
  readonly onTaken?: (bytes: number) => void;
}

/**
 * The messages of one stream on their way to its only reader. ttrpc has no flow control per stream, so a slow reader
 * blocks the connection for a limited time and then loses its stream, for the sake of the other streams.
 */
export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #options: MessageQueueOptions<T>;
  readonly #payloads: Uint8Array[] = [];
  #bytes = 0;
  #end: { readonly error: TtrpcError | undefined } | undefined;
  #wake: () => void = () => {};
  #unblock: () => void = () => {};

  constructor(options: MessageQueueOptions<T>) {
    this.#options = options;
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Adds a message. Returns a promise if reading from the connection has to stop until it resolves. */
  push(payload: Uint8Array): Promise<void> | undefined {
    if (this.#end !== undefined) return undefined;
    this.#payloads.push(payload);
    this.#bytes += payload.length;
    this.#wake();
    if (!this.#isFull()) return undefined;
    return new Promise((resolve) => {
      const stop = startTimer(this.#options.stallMs, () => {
        const held = `${this.#payloads.length} messages of ${this.#bytes} bytes`;
        const error = `The stream's reader left ${held} unread for ${this.#options.stallMs} ms.`;
        this.#options.onStalled(new TtrpcError("ResourceExhausted", error));
        this.#unblock();
      });
      this.#unblock = () => {
        stop();
        resolve();
      };
    });
  }

  /** Ends the queue; the reader gets the remaining messages, then the error, if any. */
  end(error?: TtrpcError): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#wake();
    this.#unblock();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        const payload = this.#payloads.shift();
        if (payload !== undefined) {
          this.#bytes -= payload.length;
          this.#options.onTaken?.(payload.length);
          if (!this.#isFull()) this.#unblock();
          yield this.#options.decode(payload);
        } else if (this.#end === undefined) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        } else {
          if (this.#end.error !== undefined) throw this.#end.error;
          return;
        }
      }
    } finally {
      this.end();
      this.#payloads.length = 0;
      this.#options.onReleased();
    }
  }

  #isFull(): boolean {
    return this.#payloads.length >= mostMessages || this.#bytes >= this.#options.mostBytes;
  }
}
