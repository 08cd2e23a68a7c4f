import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isGone } from "./acquisitions.ts";
import { ControllerError, codeOf, errorCodes, messageOf, wrapError } from "./error.ts";

describe("codeOf", () => {
  it.each(errorCodes)("reads %s from any boundary's error", (code) => {
    expect(codeOf(Object.assign(new Error("x"), { code }))).toBe(code);
  });

  it("recognizes abort and timeout reasons", () => {
    expect(codeOf(AbortSignal.abort().reason)).toBe("Cancelled");
    expect(codeOf(new DOMException("late", "TimeoutError"))).toBe("DeadlineExceeded");
  });

  it.each([Object.assign(new Error("x"), { code: "ENOENT" }), new Error("x"), "text", undefined])(
    "calls anything else Internal: %o",
    (value) => {
      expect(codeOf(value)).toBe("Internal");
    },
  );
});

describe("ControllerError", () => {
  it("names the operation and id, and keeps the cause", () => {
    const cause = new Error("inner");
    const error = new ControllerError("Unavailable", "host is away", { operation: "attach disk", id: "vm-1", cause });
    expect(error.message).toBe("attach disk vm-1: host is away");
    expect(error).toMatchObject({ name: "ControllerError", code: "Unavailable", cause, gone: false });
    expect(isGone(error)).toBe(false);
  });
});

describe("messageOf", () => {
  it.each([
    [new Error("it failed"), "it failed"],
    [new TypeError(), "TypeError"],
    ["text", "text"],
    [undefined, "undefined"],
    [Object.create(null), "a thrown object that cannot be shown"],
  ])("%o", (thrown, message) => {
    expect(messageOf(thrown)).toBe(message);
  });

  it("accepts any value", () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true }), (thrown) => {
        expect(typeof messageOf(thrown)).toBe("string");
      }),
    );
  });
});

describe("wrapError", () => {
  it("keeps the code, the cause and whether the object is gone", () => {
    const cause = Object.assign(new Error("stopped"), { code: "FailedPrecondition", gone: true });
    const error = wrapError(cause, "detach disk", "vm-1");
    expect(error).toMatchObject({ code: "FailedPrecondition", cause, gone: true });
    expect(isGone(error)).toBe(true);
  });

  it("does not wrap its own error again", () => {
    const error = new ControllerError("NotFound", "x", { operation: "detach disk", id: "vm-1" });
    expect(wrapError(error, "detach disk", "vm-1")).toBe(error);
    expect(wrapError(error, "detach disk", "vm-2")).not.toBe(error);
  });

  it.each([undefined, null, "text"])("takes a thrown %o", (value) => {
    expect(wrapError(value, "detach disk", "vm-1").message).toBe(`detach disk vm-1: ${value}`);
  });
});
