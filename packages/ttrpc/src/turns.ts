import { AsyncResource } from "node:async_hooks";

/** How a thread is shared; each has a default. */
export interface TurnsOptions {
  /** What one party may do before the others are asked, as a number of small messages; default 32. */
  readonly share?: number;
  /** Has work done once everything that waits for the thread by now has had it; default `setImmediate`. */
  readonly next?: (work: () => void) => void;
}

/** A message of this many bytes counts as much as a small one does by itself. */
const bytesOfOne = 16 * 1024;

/**
 * Shares one thread between servers, so that none answers as many messages as its callers send while the callers of others
 * wait. A message cannot be interrupted: one that costs more than a share is paid for with the turns that follow.
 */
export class Turns {
  readonly #share: number;
  readonly #next: (work: () => void) => void;
  /** Those that wait, or that have used up much of their share. */
  #busy = new Set<Party>();
  #isAwaited = false;

  constructor(options: TurnsOptions = {}) {
    this.#share = options.share ?? 32;
    this.#next = options.next ?? ((work) => void setImmediate(work));
  }

  /** For one server. */
  join(): Turn {
    return new Party(this.#share, (party) => this.#await(party));
  }

  #await(party: Party): void {
    this.#busy.add(party);
    if (this.#isAwaited) return;
    this.#isAwaited = true;
    this.#next(() => {
      this.#isAwaited = false;
      const busy = this.#busy;
      this.#busy = new Set();
      for (const one of busy) one.renew();
    });
  }
}

/** What one server has of a shared thread. */
export interface Turn {
  /** Whether the next message may be looked at now. */
  readonly isOn: boolean;
  /** A message of so many bytes is being looked at. */
  spend(bytes: number): void;
  /** Calls back when it is the caller's turn among those that wait. */
  wait(goOn: () => void): void;
}

class Party implements Turn {
  readonly #share: number;
  readonly #onBusy: (party: Party) => void;
  readonly #waiting: (() => void)[] = [];
  #left: number;
  #isInTurn = false;

  constructor(share: number, onBusy: (party: Party) => void) {
    this.#share = share;
    this.#left = share;
    this.#onBusy = onBusy;
  }

  get isOn(): boolean {
    return this.#left > 0 && (this.#isInTurn || this.#waiting.length === 0);
  }

  spend(bytes: number): void {
    this.#left -= 1 + Math.floor(bytes / bytesOfOne);
    // One that is asked now and then costs no turn of the event loop for each call.
    if (this.#left <= this.#share / 4) this.#onBusy(this);
  }

  wait(goOn: () => void): void {
    this.#waiting.push(AsyncResource.bind(goOn));
    this.#onBusy(this);
  }

  renew(): void {
    this.#left = Math.min(this.#share, this.#left + this.#share);
    this.#isInTurn = true;
    try {
      while (this.#left > 0) {
        const goOn = this.#waiting.shift();
        if (goOn === undefined) break;
        goOn();
      }
    } finally {
      this.#isInTurn = false;
      if (this.#left <= this.#share / 4 || this.#waiting.length > 0) this.#onBusy(this);
    }
  }
}
