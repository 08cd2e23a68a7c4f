import { fieldsInAnyCase, foldedName } from "@uvm-shim/hcs-schema";

/** A field of a message that is missing or invalid. The message names its path and what is expected. */
export class FieldError extends Error {
  override readonly name = "FieldError";
}

/**
 * Reads and checks the fields of a JSON object from the other end. Names match in any case, as in the guests' own JSON
 * decoder. Null counts as absent, since their encoder writes it for empty lists and pointers.
 */
export class Fields {
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #path: string;

  /** `path` names the object in error messages. */
  constructor(value: unknown, path = "") {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new FieldError(`${path === "" ? "message" : path} must be a JSON object, got ${describe(value)}`);
    }
    this.#fields = fieldsInAnyCase(value as { readonly [name: string]: unknown });
    this.#path = path;
  }

  /** Reads an object that is sent as JSON in a string. */
  static parse(text: string, path: string): Fields {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new FieldError(`${path} must be a JSON object in a string`, { cause: error });
    }
    return new Fields(value, path);
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  raw(name: string): unknown {
    return this.#fields.get(foldedName(name)) ?? undefined;
  }

  text(name: string, longest: number = Number.POSITIVE_INFINITY): string {
    const value = this.raw(name);
    if (typeof value !== "string") throw this.#error(name, "a string", value);
    if (value.length > longest) throw this.#error(name, `a string of at most ${longest} characters`, value);
    return value;
  }

  optionalText(name: string, longest?: number): string | undefined {
    return this.has(name) ? this.text(name, longest) : undefined;
  }

  /** Absent counts as false. */
  flag(name: string): boolean {
    const value = this.raw(name) ?? false;
    if (typeof value !== "boolean") throw this.#error(name, "true or false", value);
    return value;
  }

  integer(name: string, minimum: number, maximum: number): number {
    const value = this.raw(name);
    if (typeof value !== "number" || !Number.isInteger(value) || value < minimum || value > maximum) {
      throw this.#error(name, `an integer from ${minimum} to ${maximum}`, value);
    }
    return value;
  }

  unsigned32(name: string): number {
    return this.integer(name, 0, 0xffffffff);
  }

  /** A signed HRESULT; some guests write it unsigned. */
  result(name: string): number {
    return this.integer(name, -0x80000000, 0xffffffff);
  }

  object(name: string): Fields {
    return new Fields(this.raw(name), this.#pathOf(name));
  }

  /** Absent counts as an empty object. */
  optionalObject(name: string): Fields {
    return new Fields(this.raw(name) ?? {}, this.#pathOf(name));
  }

  /** Absent counts as empty. */
  list<T>(name: string, read: (item: unknown, path: string) => T): readonly T[] {
    const value = this.raw(name) ?? [];
    if (!Array.isArray(value)) throw this.#error(name, "a list", value);
    return value.map((item, index) => read(item, `${this.#pathOf(name)}[${index}]`));
  }

  /** An object whose field names are data and keep their case. Absent counts as empty. */
  record<T>(name: string, read: (item: unknown, path: string) => T): { readonly [name: string]: T } {
    const value = this.raw(name) ?? {};
    if (typeof value !== "object" || Array.isArray(value)) throw this.#error(name, "a JSON object", value);
    const path = this.#pathOf(name);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, read(item, `${path}.${key}`)]));
  }

  /** The error for a field of the right type with an invalid value. */
  rejected(name: string, accepted: string): FieldError {
    return this.#error(name, accepted, this.raw(name));
  }

  #pathOf(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  #error(name: string, accepted: string, value: unknown): FieldError {
    return new FieldError(`${this.#pathOf(name)} must be ${accepted}, got ${describe(value)}`);
  }
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  // Values may be secrets or of any length: only numbers and booleans are shown, others by their type.
  return typeof value === "number" || typeof value === "boolean" ? String(value) : `a ${typeof value}`;
}
