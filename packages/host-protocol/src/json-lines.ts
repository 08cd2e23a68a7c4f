const newline = 0x0a;

/** Splits a byte stream into lines of bounded length, and keeps at most one unfinished line. */
export class JsonLines {
  readonly #maximumBytes: number;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(maximumBytes: number) {
    this.#maximumBytes = maximumBytes;
  }

  /** Returns the lines that this chunk completes. Throws a RangeError if a line is too long. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end));
      lines.push(this.#take());
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return lines;
  }

  #keep(part: Uint8Array): void {
    this.#pendingBytes += part.length;
    if (this.#pendingBytes > this.#maximumBytes) {
      throw new RangeError(`line exceeds ${this.#maximumBytes} bytes`);
    }
    this.#pending.push(part);
  }

  #take(): string {
    const decoder = new TextDecoder();
    const line = this.#pending.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
    this.#pending = [];
    this.#pendingBytes = 0;
    return line;
  }
}
