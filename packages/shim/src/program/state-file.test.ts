import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Tombstones } from "../services/task/tombstones.ts";
import { posixSystem } from "../system/posix.ts";
import { processStartTime } from "../system/process-identity.ts";
import { socketPath } from "../system/socket.ts";
import { isAlive } from "../system/system.ts";
import { readState, type ShimState, writeState } from "./state-file.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-state-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const common = { id: "c1", namespace: "ns", socket: "/s" };

describe("state file", () => {
  it.each<ShimState>([
    { kind: "member", ...common, sandboxId: "s1" },
    { kind: "starting", ...common },
    { kind: "serving", ...common, pid: 12, processStartTime: "34" },
    { kind: "ended", ...common, pid: 12, processStartTime: "34" },
    { kind: "ended", ...common, pid: 12, processStartTime: "34", isReleased: true },
  ])("is read as it was written: $kind", (state) => {
    writeState(directory, state);
    expect(readState(directory)).toEqual(state);
    expect(readdirSync(directory)).toEqual(["uvm-shim.json"]);
    expect(statSync(path.join(directory, "uvm-shim.json")).mode & 0o777).toBe(0o600);
  });

  it.each([
    "",
    "{",
    "null",
    "[]",
    '{"kind":"member"}',
    '{"kind":"odd","id":"c","namespace":"n","socket":"s"}',
    '{"kind":"serving","id":"c","namespace":"n","socket":"s","pid":"1"}',
    '{"kind":"ended","id":"c","namespace":"n","socket":"s","pid":1,"processStartTime":"1","isReleased":1}',
  ])("is undefined when it is malformed: %s", (content) => {
    writeFileSync(path.join(directory, "uvm-shim.json"), content);
    expect(readState(directory)).toBeUndefined();
  });

  it("is undefined without a file", () => {
    expect(readState(path.join(directory, "none"))).toBeUndefined();
  });
});

describe("process identity", () => {
  it("distinguishes a process from another that has reused its pid", async () => {
    const processStart = processStartTime(process.pid);
    expect(processStart).toMatch(/^\d+$/);
    expect(await isAlive({ pid: process.pid, processStartTime: processStart ?? "" }, posixSystem)).toBe(true);
    expect(await isAlive({ pid: process.pid, processStartTime: "1" }, posixSystem)).toBe(false);
    expect(processStartTime(2 ** 30)).toBeUndefined();
  });
});

describe("socket path", () => {
  const owner = { address: "/run/containerd/containerd.sock", namespace: "k8s.io", id: "c".repeat(76) };

  it("is short, and unique per containerd, namespace and id", () => {
    const paths = [
      owner,
      { ...owner, address: "/other.sock" },
      { ...owner, namespace: "other" },
      { ...owner, id: "other" },
    ].map((each) => socketPath(each));
    expect(new Set(paths).size).toBe(4);
    expect(Math.max(...paths.map((each) => each.length))).toBeLessThanOrEqual(100);
    expect(paths[0]).toBe(socketPath({ ...owner, directory: "/run/containerd/s" }));
  });

  it("reports a directory that is too long", () => {
    expect(() => socketPath({ ...owner, directory: `/${"d".repeat(80)}` })).toThrow(
      /has 118 bytes, expected at most 100/,
    );
  });
});

describe("Tombstones", () => {
  it("remembers a fixed number and forgets the oldest", () => {
    const tombstones = new Tombstones<number>(2);
    tombstones.set("a", 1);
    tombstones.set("b", 2);
    tombstones.set("a", 3);
    tombstones.set("c", 4);
    expect(["a", "b", "c"].map((key) => tombstones.get(key))).toEqual([3, undefined, 4]);
    tombstones.forget((key) => key === "a");
    expect(tombstones.get("a")).toBeUndefined();
  });
});
