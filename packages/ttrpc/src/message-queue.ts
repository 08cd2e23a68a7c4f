import { TtrpcError } from "./status.ts";
import { startTimer } from "./timer.ts";

/** Messages that wait for their reader before reading from the connection stops. */
const mostMessages = 64;

export interface MessageQueueOptions<T> {
  readonly decode: (payload: Uint8Array) => T;
  /** Bytes that wait for their reader before reading from the connection stops. */
  readonly mostBytes: number;
  /** How long, in milliseconds, one reader may keep the whole connection waiting. */
  readonly stallMs: number;
  /** The reader kept the connection waiting for too long; the queue is still open. */
  readonly onStalled: (error: TtrpcError) => void;
  /** The reader reads no more, whether it read all or not. */
  readonly onReleased: () => void;
}

/**
 * Messages of one stream on their way to their one reader. ttrpc has no flow control per stream, so a reader that does
 * not keep up holds back the connection for a bounded time and then loses its stream: the other streams go on.
 */
export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #options: MessageQueueOptions<T>;
  readonly #payloads: Uint8Array[] = [];
  #bytes = 0;
  #end: { readonly error: TtrpcError | undefined } | undefined;
  #wake: () => void = () => {};
  #makeRoom: () => void = () => {};

  constructor(options: MessageQueueOptions<T>) {
    this.#options = options;
  }

  /** Whether no more messages are expected. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Adds a message; the promise, when there is one, says when the connection may be read again. */
  push(payload: Uint8Array): Promise<void> | undefined {
    if (this.#end !== undefined) return undefined;
    this.#payloads.push(payload);
    this.#bytes += payload.length;
    this.#wake();
    if (this.#hasRoom()) return undefined;
    return new Promise((resolve) => {
      const stop = startTimer(this.#options.stallMs, () => {
        const held = `${this.#payloads.length} messages of ${this.#bytes} bytes`;
        const error = `The stream's reader left ${held} unread for ${this.#options.stallMs} ms.`;
        this.#options.onStalled(new TtrpcError("ResourceExhausted", error));
        this.#makeRoom();
      });
      this.#makeRoom = () => {
        stop();
        resolve();
      };
    });
  }

  /** No more messages follow; the reader gets those that are here, then the error if there is one. */
  end(error?: TtrpcError): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#wake();
    this.#makeRoom();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        const payload = this.#payloads.shift();
        if (payload !== undefined) {
          this.#bytes -= payload.length;
          if (this.#hasRoom()) this.#makeRoom();
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

  #hasRoom(): boolean {
    return this.#payloads.length < mostMessages && this.#bytes < this.#options.mostBytes;
  }
}
