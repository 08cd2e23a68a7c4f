import { describe, expect, it } from "vitest";
import { allowsAllDevices, checkOciDeviceRules, type OciDeviceRule } from "./index.ts";

const allowAll = { allow: true, access: "rwm" };
const denyAll = { allow: false, access: "rwm" };
const one = { allow: true, type: "c", major: 1, minor: 3, access: "rwm" };

describe("device rules", () => {
  it.each<[readonly OciDeviceRule[], boolean]>([
    [[], false],
    [[allowAll], true],
    [[denyAll, allowAll], true],
    [[denyAll, { allow: true }], true],
    [[{ allow: true, type: "a", major: -1, minor: -1, access: "mrw" }, one], true],
    [[allowAll, denyAll], false],
    [[allowAll, { ...one, allow: false }], false],
    [[{ allow: true, access: "rw" }], false],
    [[{ allow: true, type: "c" }], false],
    [[{ allow: true, major: 1 }], false],
    [[one], false],
  ])("%j allows all: %s", (rules, expected) => {
    expect(allowsAllDevices(checkOciDeviceRules(rules))).toBe(expected);
  });

  it.each([
    [[{}], "devices[0].allow: expected true or false, got nothing"],
    [[{ allow: true, type: "x" }], "devices[0].type: expected"],
    [[{ allow: true, major: "1" }], 'devices[0].major: expected an integer from -1, got "1"'],
    [[allowAll, { allow: true, access: "x" }], 'devices[1].access: expected letters of rwm, got "x"'],
  ])("%j is refused", (rules, message) => {
    expect(() => checkOciDeviceRules(rules, "devices")).toThrow(message);
  });
});
