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

interface Answer {
  readonly name?: string;
  readonly counts?: readonly number[];
}

const table = { name: optional(text), counts: optional(list(integer(0))) };

describe("a guest's document", () => {
  it("is read by a check that copies it, with its name in errors", () => {
    const answer = parse('{"NAME":"a","counts":[1],"$unknowns":[{"length":1}],"__proto__":{"name":"b"}}');
    expect(answer.read(answerObject<Answer>(table))).toEqual({ name: "a", counts: [1] });
    expect(() => parse('{"counts":[-1]}').read(answerObject<Answer>(table))).toThrow("Answer.counts[0]: expected an");
  });

  it("is refused before it is parsed if it exceeds its bounds, and if it is no JSON", () => {
    expect(() => parse(`[${"0,".repeat(30)}`)).toThrow("Answer: expected at most 10 list elements");
    expect(() => parse(`"${"a".repeat(100)}"`)).toThrow("Answer: expected at most 100 characters, got 102");
    expect(() => parse("{oops")).toThrow("Answer: expected JSON");
  });

  it("has no content when it is passed on unread", () => {
    const answer = parse('{"name":"a"}');
    expect([JSON.stringify(answer), Object.keys(answer), { ...answer }]).toEqual(["{}", [], {}]);
  });

  it("cannot be read by a check that keeps unknown fields, by its type", () => {
    const answer = parse('{"name":"a","surplus":{"b":1}}');
    // @ts-expect-error keeps unknown fields
    expect(answer.read(openObject<Answer>(table))).toHaveProperty("surplus");
    // @ts-expect-error keeps anything
    expect(answer.read(anything)).toHaveProperty("surplus");
    // @ts-expect-error keeps names of the guest's choice
    expect(answer.read(record(anything))).toHaveProperty("surplus");
    // @ts-expect-error is not proven to copy
    expect(answer.read(((value) => value) as Check<Answer>)).toHaveProperty("surplus");
    // @ts-expect-error refuses unknown fields, which a guest of another version may send
    expect(() => answer.read(closedObject<Answer>(table))).toThrow("surplus: unknown field");
  });

  it("cannot be read by a check that keeps unknown fields further down", () => {
    const answer = parse('{"below":{"name":"a","surplus":1},"list":[{"surplus":1}]}');
    const below = answerObject<{ readonly below: Answer }>({ below: openObject<Answer>(table) });
    // @ts-expect-error keeps unknown fields of a field
    expect(answer.read(below)).toEqual({ below: { name: "a", surplus: 1 } });
    const elements = answerObject<{ readonly list: readonly Answer[] }>({ list: list(openObject<Answer>(table)) });
    // @ts-expect-error keeps unknown fields of an element
    expect(answer.read(elements)).toEqual({ list: [{ surplus: 1 }] });
    const untyped = answerObject<{ readonly below?: unknown }>({ below: optional(anything) });
    // @ts-expect-error keeps a field of any type
    expect(answer.read(untyped)).toHaveProperty("below.surplus");
  });
});
