import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { beforeEach, describe, expect, it } from "vitest";
import type { LogLevel } from "../platform.ts";
import { guestAllowance, LimitedLog, type LimitedLogOptions, requestAllowance } from "./limited-log.ts";
import { formatLine, isBelow } from "./log.ts";

const minute = 60_000;
const megabyte = 1_000_000;

let clock: ManualClock;
let lines: string[];
let bytes: number;
let level: LogLevel;
let sink: LimitedLogOptions["log"];
let limited: LimitedLog;
beforeEach(() => {
  clock = new ManualClock();
  lines = [];
  bytes = 0;
  level = "info";
  sink = {
    isLogged: (of: LogLevel) => !isBelow(of, level),
    log: (of: LogLevel, message: string, fields: object = {}) => {
      lines.push(`${of}: ${message}`);
      const own = { namespace: "k8s.io", id: "f".repeat(64) };
      bytes += formatLine(clock.now(), of, message, { ...own, ...fields }).length;
    },
  };
  limited = new LimitedLog({ log: sink, clock, subject: "from the guest" });
});

/** Writes a number of lines per second. */
async function flood(perSecond: number, seconds: number, text: string): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    for (let count = 0; count < perSecond; count++) limited.log("error", text);
    await clock.advance(1_000);
  }
}

const dropped = (): number =>
  lines.reduce((sum, line) => sum + Number(/^warn: (\d+) log lines? dropped/.exec(line)?.[1] ?? 0), 0);

describe("a rate-limited log", () => {
  it("writes all lines of a verbose start at once", () => {
    for (let count = 0; count < 800; count++) limited.log("info", `mounted ${"x".repeat(150)} ${count}`);
    expect([lines.length, dropped()]).toEqual([800, 0]);
  });

  it.each(["", "y".repeat(3_000)])(
    "writes less than a megabyte a minute of a flood, and counts the rest",
    async (text) => {
      let before = 0;
      for (let count = 0; count < 3; count++) {
        await flood(500, 60, text);
        expect(bytes - before).toBeLessThan(megabyte);
        expect(bytes - before).toBeGreaterThan(4 * guestAllowance.perSecond);
        before = bytes;
      }
      await clock.advance(minute);
      const written = lines.filter((line) => line === `error: ${text}`).length;
      expect(written + dropped()).toBe(3 * 60 * 500);
    },
  );

  it("reports how many lines were dropped without waiting for another", async () => {
    const long = "z".repeat(4_000);
    while (clock.sleepers === 0) limited.log("warn", long);
    expect(dropped()).toBe(0);
    await clock.advance(guestAllowance.pause);
    expect(lines.at(-1)).toBe("warn: 1 log line dropped: too many from the guest");
    expect(clock.sleepers).toBe(0);
  });

  it("charges nothing for lines below the level, which can be lowered", async () => {
    for (let count = 0; count < 100_000; count++) limited.log("debug", "chatter");
    limited.log("info", "word");
    expect(lines).toEqual(["info: word"]);
    level = "debug";
    limited.log("debug", "chatter");
    expect(lines).toEqual(["info: word", "debug: chatter"]);
  });

  it("writes few of thousands of warnings about one specification", async () => {
    limited = new LimitedLog({ log: sink, clock, subject: "about requests", allowance: requestAllowance });
    for (let count = 0; count < 10_000; count++) limited.log("warn", `mount /m${count}: rslave has no effect`);
    await clock.advance(requestAllowance.pause);
    expect(bytes).toBeLessThan(requestAllowance.burst);
    expect(lines.length - 1 + dropped()).toBe(10_000);
  });

  it("has its full allowance again after a quiet time, even when the clock was set back", async () => {
    await flood(1_000, 30, "w".repeat(500));
    const { burst, perSecond } = guestAllowance;
    await clock.advance((burst / perSecond) * 1_000 + guestAllowance.pause);
    limited.log("info", "back");
    clock.now = () => new Date(0);
    lines.length = 0;
    for (let count = 0; count < 800; count++) limited.log("info", `mounted ${"x".repeat(100)} ${count}`);
    expect(lines).toHaveLength(800);
  });
});
