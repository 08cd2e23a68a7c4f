import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { limitMemory, limitProcessors, readUsage, useProcessors } from "./limits.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "limits-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A cgroup with the files that the kernel would make. */
function group(path: string, files: { readonly [name: string]: string | number }): string {
  mkdirSync(join(root, path), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, path, name), `${text}\n`);
  return join(root, path);
}

const read = (path: string, name: string): string => readFileSync(join(path, name), "utf8").trim();

describe("memory", () => {
  it("is limited in version 1", () => {
    const vm = group("vm", { "memory.limit_in_bytes": 1, "memory.usage_in_bytes": 0 });
    limitMemory(vm, 256);
    expect(read(vm, "memory.limit_in_bytes")).toBe(String(256 * 2 ** 20));
  });

  it("is limited in version 2, where a limit below the usage is refused, since it would kill", () => {
    const vm = group("vm", { "memory.max": "max", "memory.current": 100 * 2 ** 20 });
    limitMemory(vm, 128);
    expect(read(vm, "memory.max")).toBe(String(128 * 2 ** 20));
    expect(() => limitMemory(vm, 64)).toThrow("memory limit 64 MiB is too small: the guest uses 100 MiB");
    expect(read(vm, "memory.max")).toBe(String(128 * 2 ** 20));
    expect(read(vm, "memory.reclaim")).toBe(String(36 * 2 ** 20));
  });

  it("is left alone without a controller", () => {
    const vm = group("vm", {});
    limitMemory(vm, 256);
    expect(() => read(vm, "memory.max")).toThrow(/ENOENT/);
  });
});

describe("processors", () => {
  it.each([
    [100_000, 200_000],
    [50_000, 100_000],
    [1, 1_000],
  ])("are limited to %d thousandths of a percent", (limit, quota) => {
    const v1 = group("v1", { "cpu.cfs_quota_us": -1, "cpu.cfs_period_us": 50_000 });
    const v2 = group("v2", { "cpu.max": "max 100000" });
    for (const vm of [v1, v2]) limitProcessors([vm], 2, { limit });
    expect([read(v1, "cpu.cfs_quota_us"), read(v1, "cpu.cfs_period_us")]).toEqual([String(quota), "100000"]);
    expect(read(v2, "cpu.max")).toBe(`${quota} 100000`);
  });

  it.each([
    [100, "1024"],
    [200, "2048"],
    [10_000, "102400"],
    [1, "10"],
  ])("have the weight %d", (weight, shares) => {
    const v1 = group("v1", { "cpu.shares": 1024 });
    const v2 = group("v2", { "cpu.weight": 100 });
    for (const vm of [v1, v2]) limitProcessors([vm], 2, { weight });
    expect(read(v1, "cpu.shares")).toBe(shares);
    expect(read(v2, "cpu.weight")).toBe(String(weight));
  });

  it("are taken from child cgroups that have more", () => {
    const files = (quota: number) => ({ "cpu.cfs_quota_us": quota, "cpu.cfs_period_us": 100_000 });
    const groups = [group("vm", files(200_000)), group("vm/a", files(150_000)), group("vm/b", files(-1))];
    limitProcessors(groups, 2, { limit: 50_000 });
    expect(groups.map((path) => read(path, "cpu.cfs_quota_us"))).toEqual(["100000", "100000", "-1"]);
  });

  it("are set in all cgroups", () => {
    const groups = [group("vm", { "cpuset.cpus": "0-3" }), group("vm/a", { "cpuset.cpus": "2" }), group("vm/b", {})];
    useProcessors(groups, "1", "0-3");
    expect(groups.slice(0, 2).map((path) => read(path, "cpuset.cpus"))).toEqual(["1", "1"]);
  });
});

describe("the usage", () => {
  it("is read from version 1", () => {
    const cpu = group("cpu", { "cpuacct.usage": 123_456_789, "cpuacct.stat": "user 7\nsystem 5" });
    const memory = group("memory", { "memory.usage_in_bytes": 4096, "memory.limit_in_bytes": 8192 });
    expect(readUsage([cpu, memory])).toEqual({
      processorNs: 123_456_789,
      processorUserNs: 70_000_000,
      processorKernelNs: 50_000_000,
      memoryBytes: 4096,
      memoryLimitBytes: 8192,
    });
  });

  it("is read from version 2", () => {
    const vm = group("vm", {
      "cpu.stat": "usage_usec 12\nuser_usec 7\nsystem_usec 5",
      "memory.current": 4096,
      "memory.max": 8192,
    });
    expect(readUsage([vm])).toEqual({
      processorNs: 12_000,
      processorUserNs: 7_000,
      processorKernelNs: 5_000,
      memoryBytes: 4096,
      memoryLimitBytes: 8192,
    });
  });

  it("is an error if nothing measures it", () => {
    expect(() => readUsage([group("vm", {})])).toThrow("cannot measure processor time");
    expect(() => readUsage([group("vm", { "cpuacct.usage": 1, "cpuacct.stat": "" })])).toThrow("cannot measure memory");
  });
});
