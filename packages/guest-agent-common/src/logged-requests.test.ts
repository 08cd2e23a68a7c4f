import { Writable } from "node:stream";
import type { GuestHandlers, RequestContext } from "@uvm-shim/gcs-bridge";
import { describe, expect, it } from "vitest";
import { GuestLog } from "./log.ts";
import { loggedRequests } from "./logged-requests.ts";

function setUp() {
  const lines: object[] = [];
  const write = (chunk: Buffer, _encoding: string, done: () => void): void => {
    lines.push(JSON.parse(chunk.toString()));
    done();
  };
  const log = new GuestLog(new Writable({ write }), () => new Date(0));
  const handlers: GuestHandlers = {
    start: async () => {
      log.info("working");
      return {};
    },
  };
  const { start } = loggedRequests(handlers, log);
  const ask = (more: Partial<RequestContext> = {}): unknown =>
    start?.({}, { containerId: "c1", activityId: "a1", signal: new AbortController().signal, ...more });
  return { lines, log, ask };
}

const time = new Date(0).toISOString();

describe("a guest's log lines", () => {
  it("name the activity of the request that they are about", async () => {
    const { lines, log, ask } = setUp();
    await ask();
    log.info("of no request");
    expect(lines).toEqual([
      { time, level: "info", msg: "working", activityID: "a1" },
      { time, level: "info", msg: "of no request" },
    ]);
  });

  it("name the trace of a request that has one, of which there is at least one line", async () => {
    const { lines, ask } = setUp();
    await ask({ trace: { traceId: "t1", spanId: "s1" } });
    const around = { activityID: "a1", traceID: "t1", spanID: "s1" };
    expect(lines).toEqual([
      { time, level: "info", msg: "working", ...around },
      { time, level: "debug", msg: "request answered", ...around, procedure: "start", container: "c1" },
    ]);
  });
});
