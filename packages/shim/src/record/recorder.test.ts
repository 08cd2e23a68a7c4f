import { addObserver, ControllerError, defineTable, Lifecycle, observe, reportOccurrence } from "@uvm-shim/lifecycle";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRecordLine, type RecordLine } from "./lines.ts";
import { Recorder } from "./recorder.ts";

let now: number;
let written: RecordLine[];
let recorder: Recorder;
let remove: () => void;

beforeEach(() => {
  now = 0;
  written = [];
  recorder = new Recorder({
    clock: { now: () => new Date(now) },
    milliseconds: () => now,
    write: (text) => written.push(parseRecordLine(text) as RecordLine),
  });
  remove = addObserver(recorder);
});
afterEach(() => remove());

const request = (method: string, work: () => Promise<unknown>, activityId = "a") =>
  observe(
    { kind: "request", name: `containerd.task.v3.${method}`, attributes: { container_id: "c1" }, activityId },
    work,
  );

/** Lines as short texts. */
const texts = () =>
  written.map((line) => {
    switch (line.type) {
      case "began":
        return `${line.seq} began ${line.kind} ${line.name}${line.parent === undefined ? "" : ` in ${line.parent}`}`;
      case "ended":
        return `${line.seq} ended ${line.of} after ${line.ms}${line.error === undefined ? "" : `: ${line.error.message}`}`;
      case "occurred":
        return `${line.seq} ${line.name}${line.within === undefined ? "" : ` in ${line.within}`}`;
      default:
        return `${line.seq} ${line.type}`;
    }
  });

describe("the recorder", () => {
  it("makes lines that can be read of whatever a guest logs", () => {
    const fields = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`field ${index}`, '"'.repeat(5000)]));
    const message = '"'.repeat(10_000);
    recorder.logged({ source: "guest", level: "warn", message, fields, activityId: undefined });
    expect(written).toMatchObject([{ type: "log", fields: { "field 0": expect.stringContaining("cut") } }]);
  });

  it("makes lines of values that are no JSON", () => {
    const cycle: { self?: object } = {};
    cycle.self = cycle;
    const fields = { cycle, big: { of: 1n }, none: { toJSON: () => undefined } };
    recorder.logged({ source: "shim", level: "warn", message: "values", fields, activityId: undefined });
    expect(written).toMatchObject([{ fields: { cycle: "[object Object]", big: "[object Object]", none: "" } }]);
  });

  it("numbers what is observed, with what it happened in", async () => {
    await request("Task/Create", () =>
      observe({ kind: "phase", name: "start VM" }, async () => {
        now = 5;
        reportOccurrence("guest dialled");
      }),
    );
    expect(texts()).toEqual([
      "1 began request Task/Create",
      "2 began phase start VM in 1",
      "3 guest dialled in 2",
      "4 ended 2 after 5",
      "5 ended 1 after 5",
    ]);
    expect(written[2]).toMatchObject({ activityId: "a", time: "1970-01-01T00:00:00.005Z" });
    expect(written[0]).toMatchObject({ attributes: { container_id: "c1" }, activityId: "a" });
  });

  it("leaves out what clients ask all the time, unless it fails, takes long or something happens in it", async () => {
    const ask = () => observe({ kind: "guest-request", name: "getProperties" }, async () => {});
    await request("Task/Stats", ask);
    expect(texts()).toEqual([]);
    await request("Task/State", async () => {
      await observe({ kind: "guest-request", name: "modifySettings" }, async () => {
        throw new Error("gone");
      });
    }).catch(() => {});
    expect(texts()).toEqual([
      "1 began request Task/State",
      "2 began guest-request modifySettings in 1",
      "3 ended 2 after 0: gone",
      "4 ended 1 after 0: gone",
    ]);
    await request("Task/Stats", async () => {
      now += 1001;
    });
    expect(texts().slice(4)).toEqual(["5 began request Task/Stats", "6 ended 5 after 1001"]);
    await request("Task/Pids", async () => reportOccurrence("out of memory"));
    expect(texts().slice(6)).toEqual(["7 began request Task/Pids", "8 out of memory in 7", "9 ended 7 after 0"]);
  });

  it("shows a frequent call that hangs, and never those that read the record", async () => {
    const hanging = Promise.withResolvers<void>();
    const stats = request("Task/Stats", () => hanging.promise);
    const reading = observe({ kind: "request", name: "uvmshim.diagnostics.v1.Inspect/Events" }, async () => {
      await observe({ kind: "guest-request", name: "dumpStacks" }, () => hanging.promise);
    });
    expect(recorder.events.read(0, 9).lines).toEqual([]);
    now = 2000;
    expect(recorder.events.read(0, 9).lines.map((text) => parseRecordLine(text))).toMatchObject([
      { name: "Task/Stats", time: "1970-01-01T00:00:00.000Z" },
    ]);
    hanging.resolve();
    await Promise.all([stats, reading]);
    expect(texts()).toEqual(["1 began request Task/Stats", "2 ended 1 after 2000"]);
  });

  it("places what happens after the end of its cause outside of it", async () => {
    let later: Promise<void> = Promise.resolve();
    const goOn = Promise.withResolvers<void>();
    await request("Task/Create", async () => {
      later = goOn.promise.then(() => reportOccurrence("vm exited", { isExpected: true }));
    });
    goOn.resolve();
    await later;
    expect(texts().at(-1)).toBe("3 vm exited");
    expect(recorder.failure).toBeUndefined();
  });

  it.each([
    ["Create", "NotFound", true],
    ["Kill", "NotFound", false],
    ["Kill", "Internal", true],
    ["Create", "Cancelled", false],
  ] as const)("a %s that ends with %s is a failure of the pod: %s", async (method, code, isFailure) => {
    const fail = async () => {
      throw new ControllerError(code, "no", { operation: "x", id: "y" });
    };
    await request(`Task/${method}`, fail).catch(() => {});
    expect(recorder.failure !== undefined).toBe(isFailure);
    expect(written.at(-1)).toMatchObject({ type: "ended", error: { code, message: expect.stringContaining("no") } });
  });

  it.each([
    ["out of memory", {}, true],
    ["vm exited", { isExpected: false }, true],
    ["vm exited", { isExpected: true }, false],
    ["guest dialled", {}, false],
  ])("%s with %o is a failure of the pod: %s", (name, attributes, isFailure) => {
    reportOccurrence(name, attributes);
    expect(recorder.failure !== undefined).toBe(isFailure);
  });

  it("makes lines that can be read of changes of whatever has a long name", () => {
    const table = defineTable({
      subject: "share",
      initial: "A",
      states: ["A", "B"],
      transitions: [{ kind: "event", name: "go", from: ["A"], to: "B" }],
    });
    new Lifecycle(table, `/${"d\u202e/".repeat(20_000)}`, { kind: "A" as "A" | "B" }).happen("go", { kind: "B" });
    expect(written).toMatchObject([
      { type: "state", id: expect.stringMatching(/^\/d\\u202e\/.*cut: 60001 characters/) },
    ]);
  });

  it("bounds texts that others wrote, and shows no control characters", () => {
    reportOccurrence("signal", { long: "x".repeat(9999), escape: "\u001b[2J" });
    const [line] = written;
    expect(line).toMatchObject({ attributes: { escape: "\\u001b[2J" } });
    expect(JSON.stringify(line).length).toBeLessThan(2000);
  });

  it("keeps log lines apart, and writes only warnings and errors", () => {
    const line = { source: "guest", message: "m", fields: { at: 1 }, activityId: "a" } as const;
    recorder.logged({ ...line, level: "info" });
    recorder.logged({ ...line, level: "warn" });
    expect(written).toMatchObject([{ seq: 2, level: "warn", source: "guest", fields: { at: 1 }, activityId: "a" }]);
    expect(recorder.log.read(0, 9).lines).toHaveLength(2);
    expect(recorder.events.read(0, 9).lines).toEqual([]);
  });
});
