import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { mapperRequestOf } from "./mapped-devices.ts";

describeWith("Linux")("a request to the device mapper", () => {
  it("tells its size, and the device's name", () => {
    const request = mapperRequestOf("layer", 1);
    expect(request.length).toBe(312);
    expect([0, 4, 8, 12, 16, 20, 28].map((at) => request.readUInt32LE(at))).toEqual([4, 0, 0, 312, 312, 0, 1]);
    expect(request.toString("latin1", 48, 54)).toBe("layer\0");
  });

  it("has a table of one target, whose parameters end with a zero at a whole number of words", () => {
    const request = mapperRequestOf("layer", 1, { type: "verity", sectors: 417_792, parameters: "1 /dev/sdb" });
    expect([12, 16, 20].map((at) => request.readUInt32LE(at))).toEqual([312 + 56, 312, 1]);
    const target = request.subarray(312);
    expect(target.readBigUInt64LE(8)).toBe(417_792n);
    expect(target.readUInt32LE(20)).toBe(56);
    expect(target.toString("latin1", 24, 31)).toBe("verity\0");
    expect(target.toString("latin1", 40)).toBe("1 /dev/sdb\0\0\0\0\0\0");
  });
});
