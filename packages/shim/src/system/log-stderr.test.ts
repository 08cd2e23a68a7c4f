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

describe("the lines that a pod may have a second", () => {
  const bounds = { lines: 3, urgent: 1 };
  function limited() {
    const { lines, sink, of } = logs();
    const clock = new ManualClock();
    const log = new SharedLog({ sink, clock, level: "info", fields: { id: "p1" }, bounds });
    return { lines, of, clock, log };
  }

  it("are bounded, and those left out are said in one line, though none follows", async () => {
    const { lines, of, clock, log } = limited();
    const other = of("p2");
    for (let count = 0; count < 1000; count++) log.log("info", `line ${count}`);
    other.log("info", "other");
    expect(lines.map((line) => line.match(/msg="?([^"]*?)"? id/)?.[1])).toEqual([
      "line 0",
      "line 1",
      "line 2",
      "other",
    ]);
    await clock.advance(1000);
    expect(lines.slice(4)).toEqual([
      expect.stringContaining('level=warning msg="997 lines left out" id=p1 most_per_second=3'),
    ]);
    log.log("info", "again");
    expect(lines.at(-1)).toContain("msg=again");
  });

  it("have room for warnings and errors beside the others", () => {
    const { lines, log } = limited();
    for (let count = 0; count < 10; count++) log.log("info", "chatter");
    log.log("error", "trouble");
    log.log("error", "more trouble");
    expect(lines.filter((line) => line.includes("trouble"))).toEqual([expect.stringContaining("msg=trouble")]);
  });

  it("are counted at the end of the log too, and are not after it", async () => {
    const { lines, clock, log } = limited();
    for (let count = 0; count < 5; count++) log.log("info", "chatter");
    log.close();
    expect(lines.at(-1)).toContain('msg="2 lines left out"');
    await clock.advance(10_000);
    expect(lines).toHaveLength(4);
  });
});
