import { hresults } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { describeHresult, meaningOfResult } from "./hresult.ts";

describe("results", () => {
  it.each([
    [hresults.ERROR_NOT_FOUND, "ERROR_NOT_FOUND", "NotFound", true],
    [hresults.HCS_E_SYSTEM_NOT_FOUND, "HCS_E_SYSTEM_NOT_FOUND", "NotFound", true],
    [0xc037010e, "HCS_E_SYSTEM_NOT_FOUND", "NotFound", true],
    [0xc0370110 | 0, "HCS_E_SYSTEM_ALREADY_STOPPED", "FailedPrecondition", true],
    [hresults.ERROR_FILE_NOT_FOUND, "ERROR_FILE_NOT_FOUND", "NotFound", false],
    [hresults.HCS_E_INVALID_STATE | 0, "HCS_E_INVALID_STATE", "FailedPrecondition", false],
    [hresults.E_FAIL | 0, "E_FAIL", "Internal", false],
    [0x81234567 | 0, undefined, "Internal", false],
  ] as const)("%i means %s, %s", (result, name, code, gone) => {
    expect(meaningOfResult(result)).toEqual({ hresult: result >>> 0, name, code, gone });
  });

  it("are described by name and number", () => {
    expect(describeHresult(meaningOfResult(hresults.E_FAIL | 0))).toBe("E_FAIL (0x80004005)");
    expect(describeHresult(meaningOfResult(0x81234567))).toBe("HRESULT 0x81234567");
  });
});
