/** What every mode of a hostile guest must leave untouched. */
export const bounds = {
  /** Of the shim, at its greatest. */
  memoryMiB: 200,
  /** Until State of another container is answered. */
  stateMs: 1_000,
  /** Until the deletion of another container is answered, with success or not. */
  deleteMs: 1_000,
  /** Until the pod has gone. */
  removeMs: 15_000,
  /** Until an init that was killed with SIGKILL is reported to have ended, whatever its guest says. */
  killMs: 15_000,
  /** Of the log in its worst minute. */
  logBytesPerMinute: 1_000_000,
  /** Of events, of which an exit is one. */
  events: 200,
} as const;

/** Problems that a loaded machine may have part in, which are looked at once more alone. */
export const timing = "took" as const;
