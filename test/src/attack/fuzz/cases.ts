/** The inputs of a decoder. Each depends on the seed, its number, and what was learned before it. */
import { randomOf, seedFor } from "../random.ts";
import { mutateBytes } from "./mutate-bytes.ts";
import { mutateJson } from "./mutate-json.ts";
import type { Subject } from "./subject.ts";

const golden = 0x9e3779b9;
const mostLearned = 2_000;
const longestLearned = 4_096;

export class Cases {
  readonly #seed: number;
  readonly #bytes: Uint8Array[];
  readonly #values: object[];
  readonly #isJson: boolean;

  constructor(subject: Subject, seed: number) {
    this.#seed = seedFor(seed, subject.name);
    this.#values = subject.seeds.filter((one) => !(one instanceof Uint8Array));
    this.#isJson = this.#values.length > 0;
    this.#bytes = subject.seeds.filter((one) => one instanceof Uint8Array);
  }

  make(number: number): Buffer {
    const random = randomOf(this.#seed ^ Math.imul(number + 1, golden));
    return this.#isJson ? mutateJson(random, this.#values) : mutateBytes(random, this.#bytes);
  }

  /** Makes further cases of one that has led somewhere new. */
  learn(input: Buffer): void {
    if (input.length > longestLearned || this.learned >= mostLearned) return;
    if (!this.#isJson) this.#bytes.push(Buffer.from(input));
    else {
      try {
        const value: unknown = JSON.parse(input.toString("utf8"));
        if (typeof value === "object" && value !== null) this.#values.push(value);
      } catch {
        // JSON alone is changed by its structure.
      }
    }
    this.learned += 1;
  }

  learned = 0;
}
