import { describe, expect, it } from "vitest";
import { activityOf, traceParentOf, traceStateOf } from "./trace-context.ts";

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

describe("the trace that a call names", () => {
  it("is that of its metadata, whose id becomes the activity's", () => {
    const found = traceParentOf(new Map([["traceparent", [trace]]]));
    expect(found).toBe(trace);
    expect(activityOf(trace)).toBe("4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
  });

  it.each([
    ["none", []],
    ["two", [trace, trace]],
    ["an invalid version", [trace.replace(/^00/, "ff")]],
    ["a trace id of zeros", [trace.replace(/4bf\w{29}/, "0".repeat(32))]],
    ["capital letters", [trace.toUpperCase()]],
    ["more than there is to it", [`${trace}-${"x".repeat(300)}`]],
  ])("is ignored: %s", (_, values) => {
    expect(traceParentOf(new Map([["traceparent", values]]))).toBeUndefined();
  });
});

describe("the state of others in a trace", () => {
  it.each([
    [["a=1"], "a=1"],
    [["a=1", "b=2"], "a=1,b=2"],
    [[`a=${"1".repeat(600)}`], undefined],
    [[], undefined],
  ])("is passed on if it has a usual length: %s", (values, expected) => {
    expect(traceStateOf(new Map([["tracestate", values]]))).toBe(expected);
  });
});
