import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseIpAddress, parseIpPrefix, parseMacAddress, prefixContains } from "./ip-address.ts";

describe("parseIpAddress", () => {
  it.each([
    ["0.0.0.0", 4, 0n],
    ["10.1.2.255", 4, 0x0a0102ffn],
    ["::", 6, 0n],
    ["::1", 6, 1n],
    ["fd00::", 6, 0xfd00n << 112n],
    ["FE80::1:2", 6, (0xfe80n << 112n) | 0x10002n],
    ["1:2:3:4:5:6:7:8", 6, 0x00010002000300040005000600070008n],
    ["::ffff:10.0.0.1", 6, 0xffff0a000001n],
  ] as const)("%s", (text, family, value) => {
    expect(parseIpAddress(text)).toEqual({ family, value });
  });

  it.each([
    ["", "10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.0/8", " 10.0.0.1", "10.0.0.1\n"],
    ["1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:2:3:4:5:6:7::8", ":1", "12345::", "fe80::1%eth0", "::10.0.0"],
  ])("refuses %j and others", (...texts) => {
    for (const text of texts) expect(parseIpAddress(text), text).toBeUndefined();
  });

  it("reads addresses of other writers, and throws on no text", () => {
    fc.assert(fc.property(fc.ipV4(), (text) => parseIpAddress(text)?.family === 4));
    fc.assert(fc.property(fc.ipV6(), (text) => parseIpAddress(text)?.family === 6));
    fc.assert(fc.property(fc.string(), (text) => void parseIpAddress(text)));
  });
});

describe("parseIpPrefix", () => {
  it.each([
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["10.0.0.77/24", "10.0.0.1", true],
    ["0.0.0.0/0", "8.8.8.8", true],
    ["0.0.0.0/0", "::1", false],
    ["fd00::/64", "fd00::9", true],
    ["fd00::/128", "fd00::1", false],
  ])("%s contains %s: %s", (prefix, address, expected) => {
    const [parsed, other] = [parseIpPrefix(prefix), parseIpAddress(address)];
    expect(parsed !== undefined && other !== undefined && prefixContains(parsed, other)).toBe(expected);
  });

  it.each(["10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "/8", "10.0.0.0/-1", "10.0.0.0/8/8"])(
    "refuses %s",
    (text) => {
      expect(parseIpPrefix(text)).toBeUndefined();
    },
  );
});

describe("parseMacAddress", () => {
  it("gives the same result for both forms", () => {
    for (const text of ["00-15-5D-0A-0b-0C", "00:15:5d:0a:0B:0c"])
      expect(parseMacAddress(text)).toBe("00:15:5d:0a:0b:0c");
  });

  it.each(["", "00-00-00-00-00-00", "01-00-5e-00-00-01", "ff:ff:ff:ff:ff:ff", "00-15-5D-0A-0B", "00155D0A0B0C"])(
    "refuses %j",
    (text) => {
      expect(parseMacAddress(text)).toBeUndefined();
    },
  );
});
