import { describe, expect, it } from "vitest";
import { parseSpecification } from "./specification-json.ts";

const parse = (text: string) => parseSpecification("x is", Buffer.from(text), "a specification");

describe("a specification", () => {
  it("may be long", () => {
    const spec = { env: Array.from({ length: 50_000 }, (_, index) => `A${index}=\\"[{,:${"x".repeat(50)}`) };
    expect(parse(JSON.stringify(spec))).toEqual(spec);
  });

  it.each([
    ["lists", `[${"[],".repeat(200_000)}0]`],
    ["objects", `[${"{},".repeat(200_000)}0]`],
    ["fields", `{${Array.from({ length: 150_000 }, (_, index) => `"${index}":0`).join()}}`],
    ["what is no JSON", "[".repeat(1_000_000)],
  ])("may not have too many %s", (_, text) => {
    expect(() => parse(text)).toThrow("x is too large: expected at most 100000 values");
  });

  it("is not repeated where it is no JSON", () => {
    expect(() => parse('{"secret": x')).toThrow("x is not JSON, expected a specification");
    expect(() => parse('"'.repeat(300_001))).toThrow("x is not JSON");
  });
});
