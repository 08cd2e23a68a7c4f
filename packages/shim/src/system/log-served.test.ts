import { PassThrough } from "node:stream";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { ServedLog } from "./log-served.ts";

let connect: (reader: PassThrough) => void;
let closed: number;
let log: ServedLog;

beforeEach(() => {
  closed = 0;
  log = new ServedLog({
    serve: async (onConnection) => {
      connect = onConnection;
      return { close: async () => void closed++ };
    },
    level: "info",
    clock: new ManualClock(),
    fields: { id: "c1" },
  });
});

/** A reader that keeps its lines; a slow one reads only when the test says so. */
class Reader extends PassThrough {
  readonly lines: string[] = [];

  /** Unlike a PassThrough, keeps written and readable data apart. */
  override _transform(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.slow) this.held.push(done);
    else done();
    this.lines.push(...chunk.toString().trimEnd().split("\n"));
  }

  slow = false;
  readonly held: (() => void)[] = [];

  release(): void {
    this.slow = false;
    for (const done of this.held.splice(0)) done();
  }
}

describe("a log that the shim serves", () => {
  it("gives the reader lines at its level and above, earlier ones included", () => {
    log.log("info", "before");
    const reader = new Reader();
    connect(reader);
    log.log("debug", "not said");
    log.setLevel("debug");
    log.log("debug", "said", { count: 3 });
    expect(reader.lines).toEqual([
      'time="2026-05-06T07:08:09.000Z" level=info msg=before id=c1',
      'time="2026-05-06T07:08:09.000Z" level=debug msg=said id=c1 count=3',
    ]);
  });

  it("keeps lines while there is no reader, and writes to the latest reader", async () => {
    const first = new Reader();
    connect(first);
    const gone = new Promise((resolve) => first.once("close", resolve));
    first.destroy();
    await gone;
    log.log("info", "kept");
    const [second, third] = [new Reader(), new Reader()];
    connect(second);
    connect(third);
    log.log("info", "later");
    expect(second.lines).toHaveLength(1);
    expect(second.destroyed).toBe(true);
    expect(third.lines).toEqual([expect.stringContaining("msg=later")]);
  });

  it("never waits for a slow reader: lines that do not fit are counted, and the count is logged", () => {
    const reader = new Reader();
    reader.slow = true;
    connect(reader);
    for (let index = 0; index < 400; index++) log.log("info", "x".repeat(1000));
    reader.release();
    log.log("info", "last");
    const dropped = Number(/msg="log lines dropped".* dropped=(\d+)/.exec(reader.lines.join("\n"))?.[1]);
    expect(dropped).toBeGreaterThan(100);
    expect(reader.lines).toHaveLength(400 - dropped + 2);
    expect(reader.lines.at(-1)).toContain("msg=last");
  });

  it("disconnects the reader and removes the pipe when it is closed, and accepts no reader after that", async () => {
    const reader = new Reader();
    connect(reader);
    log.close();
    log.log("info", "unheard");
    await new Promise(setImmediate);
    expect([reader.writableEnded, reader.lines.length, closed]).toEqual([true, 0, 1]);
    const late = new Reader();
    connect(late);
    expect(late.destroyed).toBe(true);
  });

  it("is silent and does no harm when its pipe cannot be served", async () => {
    const mute = new ServedLog({
      serve: async () => {
        throw new Error("taken");
      },
      level: "info",
      clock: new ManualClock(),
      fields: {},
    });
    mute.log("error", "unheard");
    mute.close();
    await new Promise(setImmediate);
  });
});
