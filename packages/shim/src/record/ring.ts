/** Reads what is recorded, by sequence numbers. */
export interface RecordReader {
  /**
   * Lines without line end, oldest first, with a sequence number above `after`; at most `most`. `lost` is about how many of
   * them were not kept.
   */
  read(after: number, most: number): RecordedLines;
  /** Resolves once there is a line above `after`; rejects with the signal's reason. */
  next(after: number, signal: AbortSignal): Promise<void>;
}

/** The answer to a question for lines after one. */
export interface RecordedLines {
  readonly lines: readonly string[];
  /** Sequence number of the last line; `after` if there are none. */
  readonly last: number;
  readonly lost: number;
}

/** What a shim remembers of its pod, for diagnosis. */
export interface Records {
  /** What was observed. */
  readonly events: RecordReader;
  /** Log lines of shim and guest. */
  readonly log: RecordReader;
}

/** In characters. */
export interface RingBounds {
  /** The first lines, which are never left out. */
  readonly beginning: number;
  /** The last lines. */
  readonly end: number;
}

interface Kept {
  readonly seq: number;
  readonly text: string;
}

/** The first and the last lines of something, in memory and within bounds. */
export class Ring implements RecordReader {
  readonly #bounds: RingBounds;
  readonly #beginning: Kept[] = [];
  readonly #end: Kept[] = [];
  #beginningLength = 0;
  #endLength = 0;
  /** What was left out between them. */
  #omitted: { readonly first: number; last: number; count: number } | undefined;
  #last = 0;
  readonly #waiting = new Set<() => void>();

  constructor(bounds: RingBounds) {
    this.#bounds = bounds;
  }

  add(seq: number, text: string): void {
    this.#last = seq;
    if (this.#end.length === 0 && this.#beginningLength + text.length <= this.#bounds.beginning) {
      this.#beginning.push({ seq, text });
      this.#beginningLength += text.length;
    } else {
      this.#end.push({ seq, text });
      this.#endLength += text.length;
      while (this.#endLength > this.#bounds.end && this.#end.length > 1) this.#omitOldest();
    }
    for (const wake of [...this.#waiting]) wake();
  }

  #omitOldest(): void {
    const oldest = this.#end.shift();
    if (oldest === undefined) return;
    this.#endLength -= oldest.text.length;
    this.#omitted ??= { first: oldest.seq, last: oldest.seq, count: 0 };
    this.#omitted.last = oldest.seq;
    this.#omitted.count += 1;
  }

  read(after: number, most: number): { lines: readonly string[]; last: number; lost: number } {
    const lines: string[] = [];
    let last = after;
    for (const kept of [this.#beginning, this.#end]) {
      for (let index = firstAbove(kept, after); index < kept.length && lines.length < most; index += 1) {
        const { seq, text } = kept[index] as Kept;
        lines.push(text);
        last = seq;
      }
    }
    return { lines, last, lost: this.#lostBetween(after, last) };
  }

  #lostBetween(after: number, last: number): number {
    const omitted = this.#omitted;
    if (omitted === undefined || after >= omitted.last || last < omitted.last) return 0;
    return after < omitted.first ? omitted.count : Math.min(omitted.count, omitted.last - after);
  }

  next(after: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      if (this.#last > after) return resolve();
      const leave = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", giveUp);
      };
      const giveUp = (): void => {
        leave();
        reject(signal.reason);
      };
      const wake = (): void => {
        if (this.#last <= after) return;
        leave();
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", giveUp);
    });
  }
}

/** By halves: lines are in the order of their numbers. */
function firstAbove(kept: readonly Kept[], after: number): number {
  let low = 0;
  let high = kept.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((kept[middle] as Kept).seq > after) high = middle;
    else low = middle + 1;
  }
  return low;
}
