/** What a recorder keeps of the past, as numbered lines of JSON. */
export interface RecordReader {
  /** Lines without their ends, oldest first, with a number greater than `after`. */
  read(after: number, most: number): RecordedLines;
  /** Resolves once there is a line with a number greater than `after`. */
  next(after: number, signal: AbortSignal): Promise<void>;
}

export interface RecordedLines {
  readonly lines: readonly string[];
  /** The number of the last line; `after` if there are none. */
  readonly last: number;
  /** How many lines with a greater number than `after` are no longer kept. */
  readonly lost: number;
}

export interface Records {
  /** What was observed. */
  readonly events: RecordReader;
  /** Log lines of shim and guest. */
  readonly log: RecordReader;
}
