import { describe, expect, it } from "vitest";
import { capabilitiesOf, hardLimitsOf, readGuestFacts } from "./facts.ts";

describe("facts of the guest", () => {
  it("reads the bounding set", () => {
    expect(capabilitiesOf("Name:\tnode\nCapBnd:\t0000000000000009\n")).toEqual(new Set(["CAP_CHOWN", "CAP_FOWNER"]));
    const all = capabilitiesOf("CapBnd:\t000001ffffffffff\n");
    expect(all.size).toBe(41);
    expect(all).toContain("CAP_CHECKPOINT_RESTORE");
    expect(capabilitiesOf("CapBnd:\t0000000001000000\n")).toEqual(new Set(["CAP_SYS_RESOURCE"]));
    expect(capabilitiesOf("")).toEqual(new Set());
  });

  it("reads hard limits, without the unlimited ones", () => {
    const text = [
      "Limit                     Soft Limit           Hard Limit           Units     ",
      "Max cpu time              unlimited            unlimited            seconds   ",
      "Max open files            1024                 20000                files     ",
      "Max nice priority         0                    0                    ",
    ].join("\n");
    expect(hardLimitsOf(text)).toEqual(
      new Map([
        ["RLIMIT_NOFILE", 20000],
        ["RLIMIT_NICE", 0],
      ]),
    );
  });

  it("reads this machine", () => {
    const facts = readGuestFacts();
    expect(facts.capabilities.size).toBeGreaterThan(0);
    expect(facts.hardLimits.get("RLIMIT_NOFILE")).toBeGreaterThan(0);
    expect(facts.oomScoreAdj).toBeGreaterThanOrEqual(-1000);
  });
});
