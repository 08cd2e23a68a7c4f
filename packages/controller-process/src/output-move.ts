/** The rest of an output on its way to the client, which this process does not read. */
export interface OutputMove {
  /** Stops the reading of the source. Called when everything that was read has been taken from the stream. */
  hold(): void;
  /** Moves from now on. Called when everything that was read has been written. */
  begin(watcher: MoveWatcher): void;
  /** The source is read again as before. Repeatable. */
  stop(): void;
}

/** What an {@link OutputMove} tells of its work. */
export interface MoveWatcher {
  moved(bytes: number): void;
  /** The client does not read; so many bytes wait for it. */
  waits(unread: number): void;
  /** It has stopped by itself, and the source is read again as before. That shows whether it is at its end. */
  stopped(): void;
}
