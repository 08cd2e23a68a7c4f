import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DeviceGuard } from "@uvm-shim/linux-calls";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { VmCgroups } from "./cgroups.ts";
import { readHierarchies } from "./hierarchies.ts";

vi.mock("@uvm-shim/linux-calls", { spy: true });

describe("readHierarchies", () => {
  it("finds the hierarchies of version 1, the named ones and version 2, each once", () => {
    const text = [
      "25 30 0:22 / /sys rw,relatime - sysfs sysfs rw",
      "31 29 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct",
      "32 29 0:28 / /sys/fs/cgroup/with\\040space rw - cgroup cgroup rw,memory",
      "33 29 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
      "34 29 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate",
      "35 29 0:28 / /elsewhere rw - cgroup cgroup rw,memory",
      "",
    ].join("\n");
    expect(readHierarchies(text)).toEqual([
      { mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: new Set(["cpu", "cpuacct"]) },
      { mountPoint: "/sys/fs/cgroup/with space", controllers: new Set(["memory"]) },
      { mountPoint: "/sys/fs/cgroup/systemd", controllers: new Set() },
      { mountPoint: "/sys/fs/cgroup/unified", controllers: "v2" },
    ]);
  });
});

describe("VmCgroups on plain directories", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "cgroups-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it("delegates controllers of version 2 down to the VM", () => {
    const parent = join(root, "uvm-shim");
    mkdirSync(parent);
    for (const group of [root, parent]) {
      writeFileSync(join(group, "cgroup.controllers"), "cpu memory\n");
      writeFileSync(join(group, "cgroup.subtree_control"), "");
    }
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: "v2" }]);
    cgroups.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    expect(cgroups.entrances).toEqual([join(parent, "vm", "guest", "cgroup.procs")]);
    cgroups.releaseLauncher(12);
    expect(readFileSync(join(parent, "vm", "launcher", "cgroup.procs"), "utf8")).toBe("12");
    expect(readFileSync(join(root, "cgroup.subtree_control"), "utf8")).toBe("+memory");
    expect(readFileSync(join(parent, "cgroup.subtree_control"), "utf8")).toBe("+memory");
  });

  it("lies below its pod's cgroup, which passes controllers on and is not removed", async () => {
    const pod = join(root, "pods", "p1");
    mkdirSync(join(pod, "vm"), { recursive: true });
    for (const group of [root, dirname(pod), pod, join(pod, "vm")]) {
      writeFileSync(join(group, "cgroup.controllers"), "memory pids\n");
      writeFileSync(join(group, "cgroup.subtree_control"), "");
    }
    writeFileSync(join(pod, "cpu.weight"), "100");
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: "v2" }], "/pods/p1");
    cgroups.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    expect(cgroups.entrances).toEqual([join(pod, "vm", "guest", "cgroup.procs")]);
    for (const group of [root, dirname(pod), pod, join(pod, "vm")]) {
      expect(readFileSync(join(group, "cgroup.subtree_control"), "utf8")).toBe("+pids");
    }
    // Half of the usual weight during the boot.
    expect(readFileSync(join(pod, "cpu.weight"), "utf8")).toBe("50");
    cgroups.endBoot({ processors: 2, share: {} });
    expect(readFileSync(join(pod, "cpu.weight"), "utf8")).toBe("100");
    for (const file of ["cgroup.controllers", "cgroup.subtree_control"]) rmSync(join(pod, "vm", file));
    await cgroups.remove(100);
    expect(readdirSync(pod).sort()).toEqual(["cgroup.controllers", "cgroup.subtree_control", "cpu.weight"]);
  });

  it("reports why nothing restricts the devices of a version 2 guest", () => {
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: "v2" }]);
    cgroups.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    expect(cgroups.unguarded?.message).toMatch(/BPF_PROG/);
    const withVersion1 = { mountPoint: join(root, "devices"), controllers: new Set(["devices"]) };
    mkdirSync(withVersion1.mountPoint);
    const guarded = new VmCgroups("other", [{ mountPoint: root, controllers: "v2" }, withVersion1]);
    guarded.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    expect(guarded.unguarded).toBeUndefined();
  });

  it("keeps a device allowed until the guard has denied it, and denies it with the next change", () => {
    const allow = vi.fn();
    vi.mocked(DeviceGuard).mockImplementationOnce(function guard() {
      return { allow, close: vi.fn() } as unknown as DeviceGuard;
    });
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: "v2" }]);
    cgroups.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    const fuse = { type: "c", major: 10, minor: 229 };
    const disk = { type: "b", major: 7, minor: 3 };
    cgroups.allowDevice("c", 10, 229);
    allow.mockImplementationOnce(() => {
      throw new Error("EMFILE");
    });
    expect(() => cgroups.denyDevice("c", 10, 229)).toThrow("EMFILE");
    cgroups.allowDevice("b", 7, 3);
    expect(allow.mock.lastCall?.[0]).toEqual(expect.arrayContaining([fuse, disk]));
    cgroups.denyDevice("c", 10, 229);
    expect(allow.mock.lastCall?.[0]).toContainEqual(disk);
    expect(allow.mock.lastCall?.[0]).not.toContainEqual(fuse);
  });

  it("does not delegate controllers of version 2 that limit no container", () => {
    writeFileSync(join(root, "cgroup.controllers"), "rdma misc\n");
    new VmCgroups("vm", [{ mountPoint: root, controllers: "v2" }]).create({
      memoryMb: 256,
      processors: 2,
      share: {},
      cpus: undefined,
    });
    expect(() => readFileSync(join(root, "cgroup.subtree_control"))).toThrow(/ENOENT/);
  });

  it("removes a version 2 guest's cgroups, including those of the launcher and of containers", async () => {
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: "v2" }]);
    cgroups.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    mkdirSync(join(root, "uvm-shim", "vm", "guest", "containers", "c"), { recursive: true });
    mkdirSync(join(root, "uvm-shim", "vm", "guest", "init"));
    await cgroups.remove(100);
    expect(readdirSync(root)).toEqual([]);
  });

  it("denies a version 1 guest all but the basic devices", () => {
    const mountPoint = join(root, "all");
    mkdirSync(mountPoint);
    const cgroups = new VmCgroups("vm", [{ mountPoint, controllers: new Set(["devices", "memory"]) }]);
    cgroups.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    const group = join(mountPoint, "uvm-shim", "vm");
    expect(readFileSync(join(group, "devices.deny"), "utf8")).toBe("a");
    cgroups.allowDevice("b", 7, 3);
    expect(readFileSync(join(group, "devices.allow"), "utf8")).toBe("b 7:3 rw");
    // The guest's own cgroup is a child, and may have no more than its parent.
    expect(cgroups.entrances).toEqual([join(group, "guest", "cgroup.procs")]);
    expect(readFileSync(join(group, "guest", "devices.allow"), "utf8")).toBe("b 7:3 rw");
    cgroups.denyDevice("b", 7, 3);
    expect(readFileSync(join(group, "devices.deny"), "utf8")).toBe("b 7:3 rw");
  });

  it("denies a version 1 guest a device after its last use, but never a basic one", () => {
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: new Set(["devices"]) }]);
    cgroups.create({ memoryMb: 256, processors: 2, share: {}, cpus: undefined });
    const denied = (): string => readFileSync(join(root, "uvm-shim", "vm", "devices.deny"), "utf8");
    for (let use = 0; use < 2; use++) cgroups.allowDevice("c", 10, 229);
    cgroups.denyDevice("c", 10, 229);
    expect(denied()).toBe("a");
    cgroups.denyDevice("c", 10, 229);
    expect(denied()).toBe("c 10:229 rw");
    cgroups.allowDevice("c", 1, 3);
    cgroups.denyDevice("c", 1, 3);
    expect(denied()).toBe("c 10:229 rw");
  });

  it("gives a new cpuset the processors of its parent", () => {
    const group = join(root, "uvm-shim", "vm");
    mkdirSync(join(root, "uvm-shim"), { recursive: true });
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      writeFileSync(join(root, file), "0-1\n");
      writeFileSync(join(root, "uvm-shim", file), "\n");
    }
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: new Set(["cpuset"]) }]);
    // The kernel would make the files with the directory.
    expect(() => cgroups.create({ memoryMb: 2, processors: 1, share: {}, cpus: undefined })).toThrow(
      /ENOENT.*cpuset\.cpus/,
    );
    expect(readFileSync(join(root, "uvm-shim", "cpuset.cpus"), "utf8")).toBe("0-1");
    expect(cgroups.processes()).toEqual([]);
    writeFileSync(join(group, "cgroup.procs"), "12\n0\n");
    expect(cgroups.processes()).toEqual([12]);
  });

  it("removes the VM's cgroups with their children, and the parent last", async () => {
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: new Set() }]);
    cgroups.create({ memoryMb: 2, processors: 1, share: {}, cpus: undefined });
    mkdirSync(join(root, "uvm-shim", "vm", "containers", "c"), { recursive: true });
    mkdirSync(join(root, "uvm-shim", "other"));
    await cgroups.remove(100);
    expect(() => readFileSync(join(root, "uvm-shim", "vm"))).toThrow(/ENOENT/);
    await new VmCgroups("other", [{ mountPoint: root, controllers: new Set() }]).remove(100);
    expect(() => readFileSync(join(root, "uvm-shim"))).toThrow(/ENOENT/);
    await cgroups.remove(100);
  });

  it("names the cgroups that stay busy", async () => {
    const cgroups = new VmCgroups("vm", [{ mountPoint: root, controllers: new Set() }]);
    cgroups.create({ memoryMb: 2, processors: 1, share: {}, cpus: undefined });
    writeFileSync(join(root, "uvm-shim", "vm", "busy"), "");
    await expect(cgroups.remove(5)).rejects.toThrow(`cgroups still busy after 5 ms: ${join(root, "uvm-shim", "vm")}`);
  });
});
