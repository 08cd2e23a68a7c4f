import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ShimLog } from "../system/system.ts";
import { mostKept } from "./kept.ts";
import { appendToRecord, PodRecord, type RecordedPod } from "./pod-record.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "record-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("does not fail the end of a shim when the records of others cannot be judged", async () => {
  let canBeAsked = true;
  const podOf = (id: string): RecordedPod => ({
    ...{ flags: { namespace: "ns", id, debug: false }, options: { name: "shim", version: "1", flavour: "lcow" } },
    ...{ env: { UVM_SHIM_RECORDS: folder }, installed: "/i", bundle: "/b", socket: "/s", clock: new ManualClock() },
    identity: { pid: 1, processStartTime: "9" },
    system: {
      makePrivateFolder: async () => {},
      processStartTime: async () => {
        if (!canBeAsked) throw new Error("no access");
        return "9";
      },
    },
  });
  for (let count = 0; count <= mostKept; count += 1) await appendToRecord("start", podOf(`c${count}`), []);
  canBeAsked = false;
  const logged: unknown[] = [];
  const log: ShimLog = {
    log: (...line) => logged.push(line),
    ...{ isLogged: () => true, setLevel: () => {}, close: () => {}, queuedBytes: 0 },
  };
  await new PodRecord(podOf("last"), log).end(false);
  expect(logged).toEqual([["warn", "cannot end the record of the pod", { error: "no access" }]]);
});
