/** What the benchmark of streams prints. */
export interface StreamResults {
  /** Each way, with the same digest at both ends. */
  readonly checkedBytesEachWay: number;
  /** Of hvsocket streams and of sockets of node:net, in turn. */
  readonly mebibytesPerSecond: { readonly ours: readonly number[]; readonly peers: readonly number[] };
  /** Streams that wait for data while the file system is called. */
  readonly concurrent: number;
  readonly fileCallMs: { readonly alone: number; readonly besideStreams: number };
  /** Of the event loop meanwhile. */
  readonly longestDelayMs: number;
}
