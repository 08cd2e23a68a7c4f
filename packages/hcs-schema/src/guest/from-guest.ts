import { type JsonBounds, parseWithin } from "../bounded-json.ts";
import type { CopyingCheck } from "../check.ts";

/**
 * A document from a guest. Its content is private: the only way to it is a check that copies the fields of its table,
 * and no others, at every level. Code that is passed the document itself sees an object without fields.
 */
export class FromGuest {
  readonly #value: unknown;
  readonly #name: string;

  private constructor(value: unknown, name: string) {
    this.#value = value;
    this.#name = name;
  }

  /** `name` is the document's name in errors. Throws a SchemaError if the text exceeds its bounds or is not JSON. */
  static parse(text: string, bounds: JsonBounds, name: string): FromGuest {
    return new FromGuest(parseWithin(text, bounds, name), name);
  }

  /** Throws a SchemaError. */
  read<T>(check: CopyingCheck<T>): T {
    return check(this.#value, this.#name);
  }
}
