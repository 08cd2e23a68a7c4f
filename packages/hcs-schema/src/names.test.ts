import { describe, expect, it } from "vitest";
import { canonicalHresult, describeHresult, hresultName, hresults, vsockPortOf, vsockServiceGuid } from "./index.ts";

describe("HRESULTs", () => {
  it.each([
    ["unsigned", 0x8037010f],
    ["signed", -2143878897],
    ["NTSTATUS", 0xc037010f],
    ["signed NTSTATUS", 0xc037010f | 0],
  ])("are recognised in %s form", (_form, value) => {
    expect(hresultName(value)).toBe("HCS_E_SYSTEM_ALREADY_EXISTS");
    expect(canonicalHresult(value)).toBe(hresults.HCS_E_SYSTEM_ALREADY_EXISTS);
  });

  it("include the NTSTATUS of a pending operation, which has another number", () => {
    expect(hresultName(0xc0370103)).toBe("HCS_E_OPERATION_PENDING");
  });

  it("without a name are shown as numbers", () => {
    expect(describeHresult(0x80041234)).toBe("HRESULT 0x80041234");
    expect(describeHresult(-2143878907)).toBe("HCS_E_INVALID_STATE (0x80370105)");
  });
});

describe("vsock service GUIDs", () => {
  it.each([
    [0, "00000000-facb-11e6-bd58-64006a7986d3"],
    [0x40000000, "40000000-facb-11e6-bd58-64006a7986d3"],
    [0xffffffff, "ffffffff-facb-11e6-bd58-64006a7986d3"],
  ])("port %d is %s and back", (port, guid) => {
    expect(vsockServiceGuid(port)).toBe(guid);
    expect(vsockPortOf(guid.toUpperCase())).toBe(port);
  });

  it("are refused for invalid ports, and distinguished from other services", () => {
    expect(() => vsockServiceGuid(-1)).toThrow(RangeError);
    expect(() => vsockServiceGuid(2 ** 32)).toThrow(RangeError);
    expect(vsockPortOf("3049197c-facb-11e6-bd58-64006a7986d4")).toBeUndefined();
  });
});
