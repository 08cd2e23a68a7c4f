import { describe, expect, it } from "vitest";
import {
  answerObject,
  anything,
  type Check,
  closedObject,
  integer,
  list,
  openObject,
  optional,
  record,
  text,
} from "../check.ts";
import { FromGuest } from "./from-guest.ts";

const bounds = { length: 100, depth: 3, keys: 10, elements: 10 };
const parse = (json: string): FromGuest => FromGuest.parse(json, bounds, "Answer");

interface Told {
  readonly name?: string;
  readonly counts?: readonly number[];
}

const table = { name: optional(text), counts: optional(list(integer(0))) };

describe("a document of a guest", () => {
  it("is read by a check that copies, with its name in errors", () => {
    const told = parse('{"NAME":"a","counts":[1],"$unknowns":[{"length":1}],"__proto__":{"name":"b"}}');
    expect(told.read(answerObject<Told>(table))).toEqual({ name: "a", counts: [1] });
    expect(() => parse('{"counts":[-1]}').read(answerObject<Told>(table))).toThrow("Answer.counts[0]: expected an");
  });

  it("is refused where it exceeds its bounds, before it is parsed, and where it is no JSON", () => {
    expect(() => parse(`[${"0,".repeat(30)}`)).toThrow("Answer: expected at most 10 list elements");
    expect(() => parse(`"${"a".repeat(100)}"`)).toThrow("Answer: expected at most 100 characters, got 102");
    expect(() => parse("{oops")).toThrow("Answer: expected JSON");
  });

  it("has nothing to hand on when it is passed where an answer belongs", () => {
    const told = parse('{"name":"a"}');
    expect([JSON.stringify(told), Object.keys(told), { ...told }]).toEqual(["{}", [], {}]);
  });

  it("cannot be read by a check that keeps what it does not know: the compiler refuses", () => {
    const told = parse('{"name":"a","surplus":{"b":1}}');
    // @ts-expect-error keeps unknown fields
    expect(told.read(openObject<Told>(table))).toHaveProperty("surplus");
    // @ts-expect-error keeps anything
    expect(told.read(anything)).toHaveProperty("surplus");
    // @ts-expect-error has names that the guest chose
    expect(told.read(record(anything))).toHaveProperty("surplus");
    // @ts-expect-error is no copy that was proven to be one
    expect(told.read(((value) => value) as Check<Told>)).toHaveProperty("surplus");
    // @ts-expect-error refuses unknown fields, which a guest of another version may have
    expect(() => told.read(closedObject<Told>(table))).toThrow("surplus: unknown field");
  });

  it("cannot be read by one that keeps something further down", () => {
    const told = parse('{"below":{"name":"a","surplus":1},"list":[{"surplus":1}]}');
    const below = answerObject<{ readonly below: Told }>({ below: openObject<Told>(table) });
    // @ts-expect-error keeps unknown fields of a field
    expect(told.read(below)).toEqual({ below: { name: "a", surplus: 1 } });
    const elements = answerObject<{ readonly list: readonly Told[] }>({ list: list(openObject<Told>(table)) });
    // @ts-expect-error keeps unknown fields of an element
    expect(told.read(elements)).toEqual({ list: [{ surplus: 1 }] });
    const untyped = answerObject<{ readonly below?: unknown }>({ below: optional(anything) });
    // @ts-expect-error has a field of any kind
    expect(told.read(untyped)).toHaveProperty("below.surplus");
  });
});
