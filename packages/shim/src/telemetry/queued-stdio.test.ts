import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import type { OpenStdio } from "../platform.ts";
import { QueuedStdio } from "./queued-stdio.ts";

describe("queued stdio", () => {
  it("is what open processes have not passed on yet", async () => {
    const stuck = (): Writable => new Writable({ write: () => {} });
    const stdin = new PassThrough();
    let closed = 0;
    const opened: OpenStdio = {
      ...{ stdin, stdout: stuck(), stderr: stuck() },
      closeStdin: () => {},
      close: async () => {
        closed += 1;
      },
    };
    const queued = new QueuedStdio();
    const upstream = queued.watch({ open: async () => opened });
    const watched = await upstream.open({ stdin: "", stdout: "", stderr: "", terminal: false });
    stdin.write("123");
    watched.stdout?.write("4567");
    watched.stderr?.write("89");
    expect(queued.bytes).toBe(9);
    await watched.close();
    expect([queued.bytes, closed]).toEqual([0, 1]);
  });
});
