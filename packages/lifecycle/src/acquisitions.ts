import { ControllerError, codeOf, messageOf } from "./error.ts";
import { OperationQueue } from "./queue.ts";

/** One thing that was acquired, and how it is given back. `release` must be repeatable. */
export interface Acquisition {
  readonly name: string;
  release(signal?: AbortSignal): Promise<void>;
}

/** A step that acquires, and carries its release. The release is tracked before `acquire` runs. */
export interface Step {
  readonly name: string;
  acquire(signal?: AbortSignal): Promise<void>;
  /** Undoes the step whether `acquire` finished, failed half-way or lost its answer. Must be repeatable. */
  release(signal?: AbortSignal): Promise<void>;
}

/**
 * What an object holds, in the order in which it was acquired. Releasing runs every release in reverse order even
 * if some fail, reports all failures together, keeps what failed, and can be repeated until nothing is left.
 * Releases that are asked for at the same time run one after the other, so whoever awaits one knows what is left.
 */
export class Acquisitions {
  #held: readonly Acquisition[] = [];
  readonly #releases = new OperationQueue();

  get names(): readonly string[] {
    return this.#held.map((item) => item.name);
  }

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  add(acquisition: Acquisition): void {
    this.#held = [...this.#held, acquisition];
  }

  /** Forgets an acquisition that was handed on or has ended by itself. */
  forget(acquisition: Acquisition): void {
    this.#held = this.#held.filter((item) => item !== acquisition);
  }

  /** Runs the steps in order. When one fails, all that this list holds is released before the error is thrown on. */
  async acquireAll(steps: readonly Step[], signal?: AbortSignal): Promise<void> {
    for (const step of steps) {
      try {
        signal?.throwIfAborted();
        this.add(step);
        await step.acquire(signal);
      } catch (error) {
        try {
          await this.releaseAll();
        } catch (releaseError) {
          throw new ControllerError(codeOf(error), `${messageOf(error)}; then releasing: ${messageOf(releaseError)}`, {
            operation: "acquire",
            id: step.name,
            cause: error,
          });
        }
        throw error;
      }
    }
  }

  releaseAll(signal?: AbortSignal): Promise<void> {
    return this.#releases.run(() => this.#releaseHeld(signal));
  }

  async #releaseHeld(signal?: AbortSignal): Promise<void> {
    // What is kept because something else could not be released fails with the error of that.
    const found = new Set<unknown>();
    for (const item of this.#held.toReversed()) {
      try {
        await unlessGone(() => item.release(signal));
        this.forget(item);
      } catch (error) {
        found.add(error);
      }
    }
    const failures = [...found];
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, failures.map(messageOf).join("; "));
  }
}

/** Whether an error says that the thing to release no longer exists, which is as good as released. */
export function isGone(error: unknown): boolean {
  const gone = (error as { gone?: unknown } | null)?.gone;
  return gone === true || codeOf(error) === "NotFound";
}

/** Runs one release, for which gone is as good as done. */
export async function unlessGone(release: () => Promise<void>): Promise<void> {
  try {
    await release();
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
