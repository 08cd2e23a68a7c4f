import { type JsonBounds, parseWithin } from "../bounded-json.ts";
import type { CopyingCheck } from "../check.ts";

/**
 * A document of a guest. It has no fields to hand on: what is in it can be had by a check alone that copies the fields
 * of its table and nothing else, at every level. Whatever else takes such a document takes an empty object.
 */
export class FromGuest {
  readonly #value: unknown;
  readonly #name: string;

  private constructor(value: unknown, name: string) {
    this.#value = value;
    this.#name = name;
  }

  /** `name` is the document's in errors. Throws a SchemaError for a text beyond its bounds, or one that is no JSON. */
  static parse(text: string, bounds: JsonBounds, name: string): FromGuest {
    return new FromGuest(parseWithin(text, bounds, name), name);
  }

  /** Throws a SchemaError. */
  read<T>(check: CopyingCheck<T>): T {
    return check(this.#value, this.#name);
  }
}
