import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { ShimLog } from "../system/system.ts";
import { mostKept } from "./kept.ts";
import { appendToRecord, PodRecord, type RecordedPod } from "./pod-record.ts";
import { RecordFile } from "./record-file.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "record-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

let canBeAsked: boolean;
let logged: unknown[];
beforeEach(() => {
  canBeAsked = true;
  logged = [];
});

const clock = new ManualClock();
const podOf = (id: string): RecordedPod => ({
  ...{ flags: { namespace: "ns", id, debug: false }, options: { name: "shim", version: "1", flavour: "lcow" } },
  ...{ env: { UVM_SHIM_RECORDS: folder }, installed: "/i", bundle: "/b", socket: "/s", clock },
  identity: { pid: 1, processStartTime: "9" },
  system: {
    makePrivateFolder: async () => {},
    processStartTime: async () => {
      if (!canBeAsked) throw new Error("no access");
      return "9";
    },
  },
});
const log: ShimLog = {
  log: (...line) => logged.push(line),
  ...{ isLogged: () => true, setLevel: () => {}, close: () => {}, queuedBytes: 0 },
};

it("does not fail the end of a shim when the records of others cannot be judged", async () => {
  const other = { identity: { pid: 2, processStartTime: "9" } };
  for (let count = 0; count <= mostKept; count += 1) {
    await appendToRecord("start", { ...podOf(`c${count}`), ...other }, []);
  }
  canBeAsked = false;
  await new PodRecord(podOf("last"), log).end(false);
  expect(logged).toEqual([["warn", "cannot end the record of the pod", { error: "no access" }]]);
});

it("removes the oldest records of pods that have ended, though the process that served them goes on", async () => {
  const serving = new PodRecord(podOf("serving"), log);
  for (let count = 0; count < mostKept + 3; count += 1) await new PodRecord(podOf(`c${count}`), log).end(false);
  const left = readdirSync(path.join(folder, "ns"));
  expect(left).toHaveLength(mostKept + 1);
  expect(left).toContain("serving.jsonl");
  await serving.end(true);
});

it("does not wait for ever for a disk that hangs", async () => {
  const ending = vi.spyOn(RecordFile.prototype, "close").mockReturnValue(new Promise(() => {}));
  try {
    const end = new PodRecord(podOf("c1"), log).end(false);
    await clock.advance(5000);
    await end;
  } finally {
    ending.mockRestore();
  }
  expect(logged).toEqual([["warn", "cannot end the record of the pod", { error: "not done within 5000 ms" }]]);
});
