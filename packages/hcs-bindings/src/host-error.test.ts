import { hresults } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { abortedError, HostError, hostErrorOf } from "./host-error.ts";

const subject = { operation: "start compute system", id: "vm" };

describe("hostErrorOf", () => {
  it.each([
    [hresults.HCS_E_SYSTEM_NOT_FOUND, "NotFound", true],
    [hresults.HCS_E_SYSTEM_ALREADY_STOPPED, "FailedPrecondition", true],
    [hresults.HCS_E_INVALID_STATE, "FailedPrecondition", false],
    [hresults.HCS_E_INVALID_JSON, "InvalidArgument", false],
    [hresults.HCS_E_SERVICE_DISCONNECT, "Unavailable", false],
    [0x80041234, "Internal", false],
  ] as const)("reads 0x%s as %s", (hresult, code, gone) => {
    expect(hostErrorOf({ hresult, message: "no" }, subject)).toMatchObject({ code, gone, hresult });
  });

  it("names operation, id, result and host events", () => {
    const error = hostErrorOf({ hresult: 0xc0370105, message: "not now", events: ["console: oops"] }, subject);
    expect(error.message).toBe(
      "start compute system vm: not now [HCS_E_INVALID_STATE (0xc0370105)]; host events: console: oops",
    );
    expect(error).toMatchObject({ hresult: 0x80370105, hresultName: "HCS_E_INVALID_STATE", name: "HostError" });
  });
});

it("limits the texts of the host", () => {
  const words = "x".repeat(100_000);
  const error = hostErrorOf({ hresult: 0x80041234, message: words, events: Array(1_000).fill(words) }, subject);
  expect(error.events).toEqual(Array(16).fill("x".repeat(8_000)));
  expect(error.message.length).toBeLessThan(17 * 8_000 + 200);
});

describe("abortedError", () => {
  it("distinguishes a deadline from a cancellation", () => {
    const deadline = AbortSignal.abort(new DOMException("late", "TimeoutError"));
    expect(abortedError(deadline, "stopped", subject)).toMatchObject({ code: "DeadlineExceeded" });
    const cancelled = abortedError(AbortSignal.abort("enough"), "stopped", subject);
    expect(cancelled).toBeInstanceOf(HostError);
    expect(cancelled).toMatchObject({ code: "Cancelled", cause: "enough" });
  });
});
