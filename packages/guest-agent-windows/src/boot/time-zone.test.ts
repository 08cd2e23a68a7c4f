import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { utcTimeZone } from "@uvm-shim/hcs-schema";
import { mustRun } from "@uvm-shim/test-support/command";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { posixRule, zoneFile } from "./time-zone.ts";

const berlin = {
  Bias: -60,
  StandardName: "W. Europe Standard Time",
  StandardDate: { Month: 10, Day: 5, Hour: 3 },
  DaylightName: "W. Europe Daylight Time",
  DaylightDate: { Month: 3, Day: 5, Hour: 2 },
  DaylightBias: -60,
};

it("makes rules of zones with and without daylight saving time", () => {
  expect(posixRule(berlin)).toBe("<std>-1<dst>-2,M3.5.0/2:00,M10.5.0/3:00");
  expect(posixRule(utcTimeZone)).toBe("<std>0");
  expect(posixRule({ ...utcTimeZone, Bias: 210 })).toBe("<std>3:30");
});

describeWith("Linux")("the file of a time zone", () => {
  it("is what the C library reads", async () => {
    const folder = mkdtempSync(join(tmpdir(), "time-zone-"));
    try {
      const file = join(folder, "localtime");
      writeFileSync(file, zoneFile(berlin));
      const at = (when: string) => mustRun("env", [`TZ=${file}`, "date", "-d", when, "+%H:%M"]);
      expect((await at("2030-01-15T12:00:00Z")).trim()).toBe("13:00");
      expect((await at("2030-07-15T12:00:00Z")).trim()).toBe("14:00");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
