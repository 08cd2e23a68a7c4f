import { describe, expect, it } from "vitest";
import { FieldError, Fields } from "./fields.ts";
import { readTrace, traceFields } from "./trace.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";
const traceParent = `00-${traceId}-${spanId}-01`;

describe("the trace of a request", () => {
  it("is in the fields of hcsshim now and of its releases up to 0.14", () => {
    expect(traceFields({ traceParent })).toEqual({
      otsc: { traceparent: traceParent },
      ocsc: { TraceID: traceId, SpanID: spanId, TraceOptions: 1 },
    });
  });

  it("passes on the state of others", () => {
    const { ocsc, otsc } = traceFields({ traceParent, traceState: "a=1,b=2" }) as {
      readonly otsc: object;
      readonly ocsc: { readonly Tracestate: string };
    };
    expect(otsc).toEqual({ traceparent: traceParent, tracestate: "a=1,b=2" });
    expect(Buffer.from(ocsc.Tracestate, "base64").toString()).toBe('[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}]');
  });

  it("is left out where there is none, and its state where it is too long", () => {
    expect(traceFields(undefined)).toEqual({});
    expect(traceFields({ traceParent: "nonsense" })).toEqual({});
    expect(traceFields({ traceParent, traceState: `a=${"1".repeat(600)}` })).toEqual(traceFields({ traceParent }));
  });

  it("is read from either field", () => {
    const { otsc, ocsc } = traceFields({ traceParent, traceState: "a=1" }) as { otsc: object; ocsc: object };
    for (const fields of [{ otsc }, { ocsc }, { otsc, ocsc }]) {
      expect(readTrace(new Fields(fields))).toEqual({ traceId, spanId });
    }
    expect(readTrace(new Fields({}))).toBeUndefined();
    expect(readTrace(new Fields({ otsc: { traceparent: "nonsense" } }))).toBeUndefined();
  });

  it.each([
    ["a text", { otsc: traceParent }],
    ["a number in it", { otsc: { traceparent: 1 } }],
    ["a list", { ocsc: [] }],
    ["options that are no number", { ocsc: { TraceID: traceId, SpanID: spanId, TraceOptions: "1" } }],
  ])("must have the type that the guest's decoder expects: %s", (_what, fields) => {
    expect(() => readTrace(new Fields(fields))).toThrow(FieldError);
  });
});
