import { type Attempt, ntStatus } from "./fake-io.ts";

const capacity = 64 * 1024;

/** One end of a connection, with unread data. */
export class FakeEndpoint {
  peer: FakeEndpoint | undefined;
  readonly #endOfRead: number;
  #arrived: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #reset = false;

  /** `status` is that of reads once the other end has closed: 0 if they report no bytes instead. */
  constructor(endOfRead: number) {
    this.#endOfRead = endOfRead;
  }

  static pair(endOfRead: number): readonly [FakeEndpoint, FakeEndpoint] {
    const [left, right] = [new FakeEndpoint(endOfRead), new FakeEndpoint(endOfRead)];
    left.peer = right;
    right.peer = left;
    return [left, right];
  }

  read(into: Uint8Array): Attempt {
    return () => {
      if (this.#reset) return { status: ntStatus.reset, transferred: 0 };
      const [first] = this.#arrived;
      if (first === undefined) return this.#ended ? { status: this.#endOfRead, transferred: 0 } : undefined;
      const length = Math.min(first.length, into.length);
      into.set(first.subarray(0, length));
      this.#bytes -= length;
      this.#arrived = [first.subarray(length), ...this.#arrived.slice(1)].filter((chunk) => chunk.length > 0);
      return { status: ntStatus.success, transferred: length };
    };
  }

  write(chunks: readonly Uint8Array[]): Attempt {
    const bytes = Buffer.concat(chunks);
    let sent = 0;
    return () => {
      const { peer } = this;
      if (peer === undefined) return { status: ntStatus.reset, transferred: sent };
      const space = Math.max(0, capacity - peer.#bytes);
      peer.#arrive(Buffer.from(bytes.subarray(sent, sent + space)));
      sent = Math.min(bytes.length, sent + space);
      return sent < bytes.length ? undefined : { status: ntStatus.success, transferred: sent };
    };
  }

  /** Ends the direction from this end. */
  end(): void {
    if (this.peer !== undefined) this.peer.#ended = true;
  }

  close(): void {
    this.end();
    if (this.peer !== undefined) this.peer.peer = undefined;
    this.peer = undefined;
  }

  /** Resets the connection, as if the other side were lost. */
  reset(): void {
    this.#reset = true;
    this.peer = undefined;
  }

  #arrive(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#arrived.push(chunk);
    this.#bytes += chunk.length;
  }
}
