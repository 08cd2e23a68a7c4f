import { type ErrorCode, errorCodes } from "@uvm-shim/lifecycle";
import { statusCodes } from "@uvm-shim/ttrpc";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShimError, translateError } from "./errors.ts";

const withFields = (fields: object, message = "it failed"): Error => Object.assign(new Error(message), fields);

describe("translateError", () => {
  it.each(errorCodes)("keeps %s, the message and the cause", (code) => {
    const cause = withFields({ code });
    expect(translateError(cause)).toMatchObject({ code, message: "it failed", cause });
  });

  it("returns its own errors unchanged", () => {
    const error = new ShimError("NotFound", "x");
    expect(translateError(error)).toBe(error);
  });

  it.each([
    [withFields({ code: "ENOENT" }), "NotFound"],
    [withFields({ code: "EEXIST" }), "AlreadyExists"],
    [withFields({ code: "EACCES" }), "PermissionDenied"],
    [withFields({ code: "ENOSPC" }), "ResourceExhausted"],
    [withFields({ code: "ECONNREFUSED" }), "Unavailable"],
    [withFields({ name: "AbortError" }), "Cancelled"],
    [withFields({ name: "TimeoutError" }), "DeadlineExceeded"],
    [new AggregateError([withFields({ code: "Unavailable" })], "two failed"), "Unavailable"],
    [withFields({ code: "EWHATEVER" }), "Internal"],
    [new Error("plain"), "Internal"],
  ])("gives %o the code %s", (error, code) => {
    expect(translateError(error).code).toBe(code);
  });

  it("names an exhausted resource of the machine, whatever code the error has", () => {
    const lack = (code: string, fields: object = {}): Error =>
      new ShimError("InvalidArgument", "config.json cannot be read", {
        cause: new Error("opened", { cause: withFields({ code, ...fields }) }),
      });
    for (const code of ["EMFILE", "ENFILE", "ENOMEM", "ENOSPC"]) {
      expect(translateError(lack(code))).toMatchObject({
        ...{ code: "ResourceExhausted", message: "config.json cannot be read" },
      });
    }
    expect(translateError(lack("EAGAIN", { syscall: "spawn mount" })).code).toBe("ResourceExhausted");
    expect(translateError(lack("EAGAIN", { syscall: "connect" })).code).toBe("InvalidArgument");
    expect(translateError(lack("ENOENT")).code).toBe("InvalidArgument");
    const own = new ShimError("ResourceExhausted", "x", { cause: withFields({ code: "EMFILE" }) });
    expect(translateError(own)).toBe(own);
    const ring = new Error("a ring");
    ring.cause = ring;
    expect(translateError(ring).code).toBe("Internal");
  });

  it("appends the HRESULT to the message, once", () => {
    expect(translateError(withFields({ hresult: 0x80370105 | 0 })).message).toBe("it failed (0x80370105)");
    expect(translateError(withFields({ hresult: 0x80370105 }, "failed with 0x80370105")).message).toBe(
      "failed with 0x80370105",
    );
  });

  it("turns foreign messages into one plain line of bounded length", () => {
    const guests = `${"\u001b[31mline\n".repeat(10_000)}end`;
    for (const error of [new ShimError("Internal", guests), withFields({ code: "NotFound" }, guests)]) {
      const { code, message, cause } = translateError(error);
      expect(message).toMatch(/^[^\p{C}]*\(cut: 100003 characters in all\)[^\p{C}]*end$/u);
      expect(message.length).toBeLessThanOrEqual(8192);
      expect([code, cause]).toEqual([(error as { code?: unknown }).code, error]);
    }
    expect(translateError(new ShimError("NotFound", "task a\nb")).message).toBe("task a\\nb");
  });

  it("accepts any value", () => {
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        const error = translateError(thrown);
        expect(errorCodes).toContain(error.code);
        expect(error.message).not.toBe("");
      }),
    );
  });
});

describe("the closed list of codes", () => {
  it("maps one to one to gRPC's codes by name", () => {
    // The annotation fails to compile where a code has no number.
    const numbers: { readonly [Code in ErrorCode]: number } = statusCodes;
    const all = errorCodes.map((code) => numbers[translateError(withFields({ code })).code]);
    expect(all).toEqual(errorCodes.map((code) => numbers[code]));
    expect(new Set(all).size).toBe(errorCodes.length);
    expect(all).not.toContain(statusCodes.OK);
  });
});
