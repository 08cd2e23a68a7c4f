import { hresults } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { meaningOfResult } from "./hresult.ts";

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
    expect(meaningOfResult(result)).toEqual({ name, code, gone });
  });
});
