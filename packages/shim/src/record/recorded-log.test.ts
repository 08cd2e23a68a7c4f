import { addObserver, observe } from "@uvm-shim/lifecycle";
import { expect, it } from "vitest";
import type { LogLevel } from "../platform.ts";
import { parseRecordLine } from "./lines.ts";
import { RecordedLog } from "./recorded-log.ts";
import { Recorder } from "./recorder.ts";

it("names the activity of a line in the log and in the record, a guest's by what the guest says", async () => {
  const written: unknown[] = [];
  const own = {
    queuedBytes: 0,
    isLogged: (level: LogLevel) => level !== "debug",
    log: (level: LogLevel, message: string, fields?: object) => void written.push([level, message, fields]),
    setLevel: () => {},
    close: () => {},
  };
  const recorder = new Recorder({ clock: { now: () => new Date(0) }, milliseconds: () => 0 });
  const log = new RecordedLog(own, recorder);
  const remove = addObserver(recorder);
  try {
    log.log("info", "before");
    await observe({ kind: "request", name: "x.Task/Create", activityId: "a" }, async () => {
      log.log("warn", "within", { container: "c1" });
      log.log("debug", "not logged");
      log.ofGuest.log("info", "of the guest", { activityID: "b" });
      log.ofGuest.log("info", "of the guest too");
      log.ofGuest.log("info", "obeyed", { activityID: "\u202eb" });
    });
  } finally {
    remove();
  }
  expect(written).toEqual([
    ["info", "before", {}],
    ["warn", "within", { container: "c1", activity: "a" }],
    ["info", "of the guest", { activityID: "b" }],
    ["info", "of the guest too", {}],
    ["info", "obeyed", { activityID: "\u202eb" }],
  ]);
  const recorded = recorder.log.read(0, 9).lines.map((line) => parseRecordLine(line));
  expect(recorded).toMatchObject([
    { message: "before", source: "shim" },
    { message: "within", source: "shim", activityId: "a", fields: { container: "c1" } },
    { message: "of the guest", source: "guest", activityId: "b" },
    { message: "of the guest too", source: "guest" },
    { activityId: "\\u202eb" },
  ]);
  expect(recorded.map((line) => line !== undefined && "activityId" in line)).toEqual([false, true, true, false, true]);
});
