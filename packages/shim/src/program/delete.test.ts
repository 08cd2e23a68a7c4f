import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { processStartTime } from "../system/process-identity.ts";
import { FakePlatform } from "../testing/fake-platform.ts";
import { deleteLeftovers } from "./delete.ts";
import { readState, writeState } from "./state-file.ts";

const goneProcess = { pid: process.pid, processStartTime: "0" };

let bundle: string;
beforeEach(() => {
  bundle = mkdtempSync(path.join(tmpdir(), "shim-delete-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(bundle, { recursive: true });
});

it("does not wait for a process that has released everything and still reports to others", async () => {
  const platform = new FakePlatform();
  const socket = path.join(bundle, "s");
  const alive = { pid: process.pid, processStartTime: processStartTime(process.pid) ?? "" };
  writeState(bundle, { kind: "ended", id: "c1", namespace: "ns", socket, ...alive, isReleased: true });
  const flags = { namespace: "ns", id: "c1", address: "/a", bundle, socket: "", debug: false, publishBinary: "" };
  const named = { name: "fake", runtimeName: "fake", version: "1", revision: "r", flavour: "lcow" } as const;
  // Nobody advances the clock: a wait would never end, and a kill would end this test.
  const options = { ...named, clock: new ManualClock(), loadPlatform: async () => platform };
  expect((await deleteLeftovers(flags, options, process)).length).toBeGreaterThan(0);
  expect(platform.cleaned).toEqual([]);
});

it("only warns when its last state cannot be written, since everything is cleaned up", async () => {
  const platform = new FakePlatform();
  const said: string[] = [];
  vi.stubEnv("UVM_SHIM_RECORDS", "none");
  vi.spyOn(process.stderr, "write").mockImplementation((text) => said.push(`${text}`) > 0);
  const state = { kind: "serving", id: "c1", namespace: "ns", socket: path.join(bundle, "s") } as const;
  writeState(bundle, { ...state, ...goneProcess });
  // Writes through it fail with ENOSPC.
  symlinkSync("/dev/full", path.join(bundle, `uvm-shim.json.${process.pid}.new`));
  const flags = { namespace: "ns", id: "c1", address: "/a", bundle, socket: "", debug: false, publishBinary: "" };
  const named = { name: "fake", runtimeName: "fake", version: "1", revision: "r", flavour: "lcow" } as const;
  const options = { ...named, loadPlatform: async () => platform };
  const answer = await deleteLeftovers(flags, options, process);
  expect(answer.length).toBeGreaterThan(0);
  expect(platform.cleaned).toEqual([{ namespace: "ns", id: "c1", bundle }]);
  expect(said.join("")).toMatch(/cannot write the state of c1, a repeated delete will clean up again: ENOSPC/);
  // The attempt leaves nothing, and a repeated delete cleans up again.
  expect(readdirSync(bundle)).toEqual(["uvm-shim.json"]);
  expect(readState(bundle)).toMatchObject({ kind: "serving" });
});

it("cleans up within what is left of the time since its process began, and records the loss after that", async () => {
  const platform = new FakePlatform();
  const steps: string[] = [];
  const records = path.join(bundle, "records");
  vi.stubEnv("UVM_SHIM_RECORDS", records);
  const clock = new ManualClock();
  platform.onCleanUp = () => {
    steps.push(existsSync(records) ? "recorded" : "cleaning up");
    return new Promise(() => {});
  };
  const state = { kind: "serving", id: "c1", namespace: "ns", socket: path.join(bundle, "s") } as const;
  writeState(bundle, { ...state, ...goneProcess });
  const flags = { namespace: "ns", id: "c1", address: "/a", bundle, socket: "", debug: false, publishBinary: "" };
  const named = { name: "fake", runtimeName: "fake", version: "1", revision: "r", flavour: "lcow" } as const;
  // Node has taken 3 s to start.
  const sinceStart = () => 3000 + clock.now().getTime() - began;
  const began = clock.now().getTime();
  const outcome = deleteLeftovers(flags, { ...named, clock, loadPlatform: async () => platform }, process, sinceStart);
  const failed = expect(outcome).rejects.toThrow("delete c1: cleanup took longer than 1700 ms");
  await expect.poll(() => steps).toEqual(["cleaning up"]);
  await clock.advance(1700);
  await failed;
  expect(readState(bundle)).toMatchObject({ kind: "serving" });
});
