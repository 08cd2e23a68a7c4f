import { errorCodes } from "@uvm-shim/lifecycle";
import { describe, expect, it } from "vitest";
import { errorOf, statusCodes, statusOf } from "./status.ts";

describe("the status of an answer", () => {
  it.each(errorCodes)("carries %s from any error class over the wire to its client", (code) => {
    const { code: number, message } = statusOf(Object.assign(new Error("it failed"), { code }));
    expect(number).toBe(statusCodes[code]);
    expect(errorOf({ code: number ?? 0, message: message ?? "", details: [] } as never)).toMatchObject({
      ...{ code, message: "it failed" },
    });
  });
});
