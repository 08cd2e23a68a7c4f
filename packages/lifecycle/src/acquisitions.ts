import { ControllerError, codeOf, messageOf } from "./error.ts";
import { observe } from "./observation/observation.ts";
import { OperationQueue } from "./queue.ts";

/** One acquired resource and its release, which must be repeatable. */
export interface Acquisition {
  readonly name: string;
  release(signal?: AbortSignal): Promise<void>;
}

/** A step that acquires a resource. Its release is recorded before `acquire` runs. */
export interface Step {
  readonly name: string;
  acquire(signal?: AbortSignal): Promise<void>;
  /** Undoes the step, whether `acquire` succeeded, failed half-way or got no answer. Must be repeatable. */
  release(signal?: AbortSignal): Promise<void>;
}

/**
 * The resources that an object holds, in the order of acquisition. Releasing runs every release in reverse order even
 * if some fail, reports all failures together, keeps what failed, and can be repeated until nothing is left. Concurrent
 * calls of `releaseAll` run one after the other, so that each reports what is really left.
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

  /** Removes an acquisition that was handed over or has ended by itself. */
  forget(acquisition: Acquisition): void {
    this.#held = this.#held.filter((item) => item !== acquisition);
  }

  /** Runs the steps in order. When one fails, everything held is released before the error is rethrown. */
  async acquireAll(steps: readonly Step[], signal?: AbortSignal): Promise<void> {
    for (const step of steps) {
      try {
        signal?.throwIfAborted();
        this.add(step);
        await observe({ kind: "phase", name: "acquire", attributes: { what: step.name } }, () => step.acquire(signal));
      } catch (error) {
        try {
          await this.releaseAll();
        } catch (releaseError) {
          throw new ControllerError(
            codeOf(error),
            `${messageOf(error)}; the release failed too: ${messageOf(releaseError)}`,
            {
              operation: "acquire",
              id: step.name,
              cause: error,
            },
          );
        }
        throw error;
      }
    }
  }

  releaseAll(signal?: AbortSignal): Promise<void> {
    return this.#releases.run(() => this.#releaseHeld(signal));
  }

  async #releaseHeld(signal?: AbortSignal): Promise<void> {
    // A set: several releases may fail with the same error, that of another step they depend on.
    const found = new Set<unknown>();
    for (const item of this.#held.toReversed()) {
      try {
        const what = { kind: "phase", name: "release", attributes: { what: item.name } } as const;
        await observe(what, () => unlessGone(() => item.release(signal)));
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

/** Whether an error means that the resource no longer exists, which counts as released. */
export function isGone(error: unknown): boolean {
  const gone = (error as { gone?: unknown } | null)?.gone;
  return gone === true || codeOf(error) === "NotFound";
}

/** Runs a release; a resource that is gone counts as released. */
export async function unlessGone(release: () => Promise<void>): Promise<void> {
  try {
    await release();
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
