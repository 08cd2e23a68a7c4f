/** Which blocks of the project's code have run, by V8's own counters. */
import { type Profiler, Session } from "node:inspector";

export class BlockCoverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  get blocks(): number {
    return this.#seen.size;
  }

  /** How many blocks have run since the last look that had never run before; from now on they have. */
  look(): number {
    const before = this.#seen.size;
    for (const block of this.#taken()) this.#seen.add(block);
    return this.#seen.size - before;
  }

  /** Whether such a block has run since the last look, without remembering it. */
  isNew(): boolean {
    return this.#taken().some((block) => !this.#seen.has(block));
  }

  #taken(): string[] {
    let result: readonly Profiler.ScriptCoverage[] = [];
    this.#session.post("Profiler.takePreciseCoverage", (_error, answer) => {
      result = answer?.result ?? [];
    });
    return result
      .filter(({ url }) => /\/(packages|apps)\/[^/]+\/src\//.test(url))
      .flatMap(({ url, functions }) =>
        functions.flatMap(({ ranges }) =>
          ranges.filter(({ count }) => count > 0).map((range) => `${url}:${range.startOffset}:${range.endOffset}`),
        ),
      );
  }

  stop(): void {
    this.#post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  #post(method: string, parameters: object = {}): void {
    this.#session.post(method as "Profiler.enable", parameters as never);
  }
}
