/** How much one pod's clients may have of a process that serves others too. In docs/sandboxer.md. */
export interface PodBounds {
  /** Connections to its socket; containerd has one for each container. More are closed at once. */
  readonly connections: number;
  /** Calls in flight on all of them; a process that is waited for is one. */
  readonly calls: number;
  /** Bytes of requests under way and of responses that nobody reads: several of the longest messages. */
  readonly waitingBytes: number;
}

/** Those of every pod. */
export const podBounds: PodBounds = { connections: 512, calls: 8192, waitingBytes: 32 << 20 };
