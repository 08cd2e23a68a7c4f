import type { HostileGuest } from "../guest/hostile-guest.ts";

/** What the harness asks of the shim about the victim, for the guest to misbehave at. */
export type Provocation =
  | "stats"
  | "pids"
  | "exec"
  | "terminate"
  | "kill"
  | "resize"
  | "pause"
  | "update"
  | "delete"
  | "talk"
  /** SIGUSR1 to the shim, which makes it log its state. */
  | "signal";

export interface Mode {
  readonly name: string;
  /** What the guest does, as a sentence without its subject. */
  readonly what: string;
  readonly provoke?: readonly Provocation[];
  /** Makes the guest misbehave; called before it boots. */
  readonly attack: (guest: HostileGuest) => void;
  /** In place of an ordinary boot; the pod is then not expected to come up. */
  readonly boot?: (guest: HostileGuest) => Promise<void>;
  /** The victim's init has stdio. */
  readonly stdio?: true;
  /** Keeps a processor busy: nothing else is attacked beside it. */
  readonly busy?: true;
  /** The victim is killed with SIGKILL at the end, and its exit must be reported. */
  readonly mustEnd?: true;
  /** The guest answers nobody any more, so that what needs it may be refused. */
  readonly silent?: true;
}

/** Beside the program that a VM of the attack boots, in `mode.json`. */
export interface BootOrders {
  readonly mode: string;
  readonly seed: number;
  readonly floodMs: number;
}
