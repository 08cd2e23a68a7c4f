import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkCgroupMetrics } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readGroupMetrics } from "./cgroup-metrics.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "metrics-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function files(folder: string, texts: { readonly [name: string]: string | number }): void {
  mkdirSync(join(root, folder), { recursive: true });
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(root, folder, name), `${text}\n`);
}

describe("metrics of a cgroup", () => {
  it("are read from version 1, under containerd's names", () => {
    files("cpuacct/c", {
      "cpuacct.usage": 123,
      "cpuacct.stat": "user 2\nsystem 1",
      "cpuacct.usage_percpu": "100 23 ",
    });
    files("cpu/c", { "cpu.stat": "nr_periods 4\nnr_throttled 3\nthrottled_time 2" });
    files("pids/c", { "pids.current": 5, "pids.max": "max" });
    files("memory/c", {
      "memory.stat": "cache 1\nrss 2\npgpgin 3\nhierarchical_memsw_limit 4\ntotal_pgmajfault 5\nworkingset 6",
      "memory.usage_in_bytes": 10,
      "memory.limit_in_bytes": "9223372036854771712",
      "memory.max_usage_in_bytes": 12,
      "memory.failcnt": 0,
      "memory.memsw.usage_in_bytes": 11,
      "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7",
    });
    const { LCOWMetrics: metrics } = readGroupMetrics(root, "/c");
    expect(metrics).toEqual({
      pids: { current: 5, limit: 0 },
      cpu: {
        usage: { total: 123, kernel: 10_000_000, user: 20_000_000, per_cpu: [100, 23] },
        throttling: { periods: 4, throttled_periods: 3, throttled_time: 2 },
      },
      memory: {
        cache: 1,
        rss: 2,
        pg_pg_in: 3,
        hierarchical_swap_limit: 4,
        total_pg_maj_fault: 5,
        usage: { usage: 10, limit: 2 ** 63 - 4096, max: 12, failcnt: 0 },
        swap: { usage: 11 },
        kernel: {},
        kernel_tcp: {},
      },
      memory_oom_control: { oom_kill_disable: 0, under_oom: 0, oom_kill: 7 },
    });
    expect(checkCgroupMetrics({ LCOWMetrics: metrics })).toEqual({ version: 1, metrics });
  });

  it("are read from version 2", () => {
    writeFileSync(join(root, "cgroup.procs"), "");
    files("c", {
      "cpu.stat": "usage_usec 12\nuser_usec 7\nsystem_usec 5\nnr_periods 1",
      "memory.stat": "anon 3\nfile 4\npgfault 5\nzswap 6",
      "memory.current": 10,
      "memory.max": "max",
      "memory.events": "low 0\noom_kill 2",
      "pids.current": 3,
      "pids.max": 100,
    });
    const { LCOWMetricsV2: metrics } = readGroupMetrics(root, "/c");
    expect(metrics).toEqual({
      pids: { current: 3, limit: 100 },
      cpu: { usage_usec: 12, user_usec: 7, system_usec: 5, nr_periods: 1 },
      memory: { anon: 3, file: 4, pgfault: 5, usage: 10, usage_limit: 2 ** 64 },
      memory_events: { low: 0, oom_kill: 2 },
    });
    expect(checkCgroupMetrics({ LCOWMetricsV2: metrics })).toEqual({ version: 2, metrics });
  });

  it("cannot be read for a cgroup that does not exist", () => {
    expect(() => readGroupMetrics(root, "/c")).toThrow("cgroup /c does not exist");
  });
});
