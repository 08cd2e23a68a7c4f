import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { SharedLog } from "./log-stderr.ts";

function logs() {
  const lines: string[] = [];
  const sink = { queuedBytes: 0, write: (line: Buffer) => void lines.push(`${line}`) };
  const of = (id: string, more: { readonly mostQueued?: number } = {}) =>
    new SharedLog({ sink, clock: new ManualClock(), level: "info", fields: { id }, ...more });
  return { lines, sink, of };
}

describe("the log that pods of one process share", () => {
  it("has the fields of each in its lines, and a level of each", () => {
    const { lines, of } = logs();
    const [one, other] = [of("p1"), of("p2")];
    one.setLevel("debug");
    one.log("debug", "seen");
    other.log("debug", "not seen");
    other.log("warn", "also seen", { id: "forged", code: 7 });
    expect(lines).toEqual([
      expect.stringMatching(/ level=debug msg=seen id=p1\n$/),
      expect.stringMatching(/ level=warning msg="also seen" id=p2 fields.id=forged code=7\n$/),
    ]);
  });

  it("drops and counts lines while too many wait, and says so once there is room", () => {
    const { lines, sink, of } = logs();
    const log = of("p1", { mostQueued: 100 });
    sink.queuedBytes = 100;
    log.log("info", "one");
    log.log("info", "two");
    expect(lines).toEqual([]);
    sink.queuedBytes = 99;
    log.log("info", "three");
    expect(lines).toEqual([
      expect.stringContaining('msg="log lines dropped" id=p1 dropped=2'),
      expect.stringContaining("msg=three"),
    ]);
  });

  it("writes nothing after its end", () => {
    const { lines, of } = logs();
    const log = of("p1");
    log.close();
    log.log("error", "late");
    expect(lines).toEqual([]);
  });
});
