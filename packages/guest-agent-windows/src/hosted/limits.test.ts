import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContainerGroups } from "./limits.ts";

describe("the limits of a container", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "limits-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const storage = { device: "7:3", bytes: 1_000_000, operations: 0 };
  /** Files as the kernel makes them in a group. */
  const fill = (folder: string, ...names: readonly string[]): ((name: string) => string) => {
    for (const name of names) writeFileSync(join(folder, name), "");
    return (name) => readFileSync(join(folder, name), "utf8");
  };

  it("are set in each hierarchy of version 1", () => {
    for (const name of ["memory", "cpu", "cpuset", "blkio"]) mkdirSync(join(root, name));
    writeFileSync(join(root, "cpuset", "cpuset.cpus"), "0-1,4\n");
    const groups = ContainerGroups.make("c", 4, root);
    const own = (name: string): string => join(root, name, "containers", "c");
    const memory = fill(own("memory"), "memory.limit_in_bytes");
    const cpu = fill(own("cpu"), "cpu.cfs_quota_us", "cpu.shares");
    const cpuset = fill(own("cpuset"), "cpuset.cpus");
    const [bytes, operations] = ["blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device"] as const;
    const blkio = fill(own("blkio"), bytes, operations);
    writeFileSync(join(root, "cpuset", "containers", "cpuset.cpus"), "0-1,4\n");
    groups.limit({ memory: 4096, count: 2, maximum: 2500, weight: 200, storage });
    expect(memory("memory.limit_in_bytes")).toBe("4096");
    expect([cpu("cpu.cfs_quota_us"), cpu("cpu.shares")]).toEqual(["100000", "2048"]);
    expect(cpuset("cpuset.cpus")).toBe("0,1");
    expect([blkio(bytes), blkio(operations)]).toEqual(["7:3 1000000", "7:3 0"]);
    expect(groups.entrances).toHaveLength(4);
  });

  it("are set in the one hierarchy of version 2", () => {
    writeFileSync(join(root, "cgroup.procs"), "");
    const groups = ContainerGroups.make("c", 2, root);
    const file = fill(join(root, "containers", "c"), "memory.max", "cpu.max", "cpu.weight", "io.max");
    groups.limit({ memory: 4096, maximum: 5000, weight: 50, storage });
    expect(["memory.max", "cpu.max", "cpu.weight"].map(file)).toEqual(["4096", "100000 100000", "50"]);
    expect(file("io.max")).toBe("7:3 rbps=1000000 wbps=1000000 riops=max wiops=max");
  });
});
