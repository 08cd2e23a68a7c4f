import { describe, expect, it } from "vitest";
import {
  allowedAccess,
  allowsAllDevices,
  assignedDeviceFunction,
  checkOciDeviceRules,
  type OciDeviceRule,
} from "../index.ts";

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
  ])("%j allow everything: %s", (rules, expected) => {
    expect(allowsAllDevices(checkOciDeviceRules(rules))).toBe(expected);
  });

  it.each([
    [[{}], "devices[0].allow: expected true or false, got nothing"],
    [[{ allow: true, type: "x" }], "devices[0].type: expected"],
    [[{ allow: true, major: "1" }], 'devices[0].major: expected an integer of at least -1, got "1"'],
    [[allowAll, { allow: true, access: "x" }], 'devices[1].access: expected a combination of r, w and m, got "x"'],
  ])("%j are refused", (rules, message) => {
    expect(() => checkOciDeviceRules(rules, "devices")).toThrow(message);
  });
});

describe("the id of an assigned device", () => {
  it.each([
    ["PCIP\\VEN_1&DEV_2\\6&17F903&0&00400000", "PCIP\\VEN_1&DEV_2\\6&17F903&0&00400000", 0],
    ["PCIP\\VEN_1/3", "PCIP\\VEN_1", 3],
    ["PCIP\\VEN_1\\3", "PCIP\\VEN_1", 3],
    ["PCIP\\VEN_1\\0", "PCIP\\VEN_1", 0],
    ["ROOT\\DEVICE\\0007", "ROOT\\DEVICE", 7],
    ["PCIP\\VEN_1\\65535", "PCIP\\VEN_1", 65_535],
    // Too large for a function, and therefore part of the path.
    ["PCIP\\VEN_1\\65536", "PCIP\\VEN_1\\65536", 0],
    ["PCIP\\VEN_1\\0x3", "PCIP\\VEN_1\\0x3", 0],
    ["PCIP\\VEN_1\\-3", "PCIP\\VEN_1\\-3", 0],
    ["PCIP\\VEN_1\\3a", "PCIP\\VEN_1\\3a", 0],
    ["PCIP\\\\VEN_1//X\\\\3", "PCIP\\VEN_1\\X", 3],
    ["PCIP\\\\VEN_1", "PCIP\\\\VEN_1", 0],
    ["12", "12", 0],
  ])("%s means device %s, function %s", (id, deviceInstancePath, virtualFunction) => {
    expect(assignedDeviceFunction(id)).toEqual({ deviceInstancePath, virtualFunction });
  });

  it.each(["", "/1", "\\1", "\\/1", "PCIP\\VEN_1/65536", "a\0", "a\0/1"])("cannot be %j", (id) => {
    expect(assignedDeviceFunction(id)).toBeUndefined();
  });
});

describe("the access that rules allow to one device", () => {
  const denyAll: OciDeviceRule = { allow: false, access: "rwm" };
  const disk = { type: "b", major: 7, minor: 3 } as const;
  const ofDisk = { allow: true, type: "b", major: 7, minor: 3 };

  it.each<[readonly OciDeviceRule[], string]>([
    [[], ""],
    [[denyAll], ""],
    [[denyAll, { ...ofDisk, access: "rwm" }], "rwm"],
    [[denyAll, { ...ofDisk, access: "wr" }], "rw"],
    [[denyAll, { ...ofDisk, access: "r" }], "r"],
    [[denyAll, ofDisk], "rwm"],
    [[{ ...ofDisk, access: "rw" }, denyAll], ""],
    [[denyAll, { ...ofDisk, access: "rw" }, { ...ofDisk, allow: false, access: "w" }], "r"],
    [[denyAll, { ...ofDisk, type: "c" }], ""],
    [[denyAll, { ...ofDisk, minor: 4 }], ""],
    [[denyAll, { allow: true, type: "b", major: 7, minor: -1, access: "r" }], "r"],
    [[denyAll, { allow: true, access: "rw" }], "rw"],
    [[denyAll, { allow: true, type: "", access: "" }], "rwm"],
  ])("%j: %j", (rules, expected) => {
    expect(allowedAccess(checkOciDeviceRules(rules), disk)).toBe(expected);
  });
});
