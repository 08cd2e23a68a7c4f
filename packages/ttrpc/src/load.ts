import { TtrpcError } from "./status.ts";

/** How much the callers of one server may have under way, over all their connections. */
export interface LoadBounds {
  readonly mostCalls: number;
  readonly mostBytes: number;
}

/** A connection whose caller may leave responses unread. */
export interface Reader {
  destroy(reason: TtrpcError): void;
}

/** What the callers of one server have under way: calls, the bytes of their requests, and responses that they have not read. */
export class Load {
  readonly #bounds: LoadBounds;
  readonly #unread = new Map<Reader, number>();
  #calls = 0;
  #requestBytes = 0;
  #unreadBytes = 0;

  constructor(bounds: LoadBounds) {
    this.#bounds = bounds;
  }

  get calls(): number {
    return this.#calls;
  }

  get bytes(): number {
    return this.#requestBytes + this.#unreadBytes;
  }

  /** Throws ResourceExhausted if there are too many. */
  beginCall(): void {
    const { mostCalls } = this.#bounds;
    if (this.#calls >= mostCalls) {
      const problem = `The server has ${this.#calls} calls in flight on all its connections, expected fewer than ${mostCalls}.`;
      throw new TtrpcError("ResourceExhausted", problem);
    }
    this.#calls += 1;
  }

  endCall(): void {
    this.#calls -= 1;
  }

  /** Counts the bytes of a payload that is to be received, or answers why it is not. */
  admit(bytes: number): TtrpcError | undefined {
    if (this.bytes + bytes <= this.#bounds.mostBytes) {
      this.#requestBytes += bytes;
      return undefined;
    }
    const problem = `A message of ${bytes} bytes does not fit: ${this.bytes} bytes of requests and responses wait on all the server's connections, expected at most ${this.#bounds.mostBytes}.`;
    return new TtrpcError("ResourceExhausted", problem);
  }

  release(bytes: number): void {
    this.#requestBytes -= bytes;
  }

  /** Says how many bytes of responses a caller leaves unread. If those of all are too many, the worst caller loses its connection. */
  setUnread(reader: Reader, bytes: number): void {
    this.#unreadBytes += bytes - (this.#unread.get(reader) ?? 0);
    if (bytes === 0) this.#unread.delete(reader);
    else this.#unread.set(reader, bytes);
    if (bytes === 0 || this.bytes <= this.#bounds.mostBytes) return;
    const [worst, most] = [...this.#unread].reduce((one, other) => (other[1] > one[1] ? other : one));
    const problem = `The caller left ${most} bytes of responses unread, of ${this.bytes} bytes that wait on all the server's connections: expected at most ${this.#bounds.mostBytes}.`;
    worst.destroy(new TtrpcError("ResourceExhausted", problem));
  }
}
