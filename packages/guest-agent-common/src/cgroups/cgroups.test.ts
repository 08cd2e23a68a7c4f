import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { delegateControllers, processesOf, readHierarchies, removeCgroups, shareDevices } from "./cgroups.ts";

describe("cgroup hierarchies", () => {
  it("are not mounted one by one on a machine with version 2 alone", () => {
    expect(readHierarchies("0::/\n")).toEqual([]);
  });

  it("are those of version 1 otherwise, named ones included", () => {
    expect(readHierarchies("3:name=systemd:/\n2:cpu,cpuacct:/\n1:memory:/a:b\n0::/\n")).toEqual([
      { folder: "systemd", data: "none,name=systemd", aliases: [] },
      { folder: "cpu,cpuacct", data: "cpu,cpuacct", aliases: ["cpu", "cpuacct"] },
      { folder: "memory", data: "memory", aliases: [] },
    ]);
  });
});

describe("cgroups on plain directories", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "cgroups-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("of containers get the device rules of the guest", () => {
    const devices = join(root, "devices");
    mkdirSync(join(devices, "containers"), { recursive: true });
    const allowed = join(devices, "containers", "devices.allow");
    writeFileSync(join(devices, "devices.list"), "c 1:3 rwm\nb 7:0 rw\n");
    shareDevices(root);
    writeFileSync(allowed, "");
    shareDevices(root);
    expect(readFileSync(allowed, "utf8")).toBe("c 1:3 rwmb 7:0 rw");
    writeFileSync(join(devices, "devices.list"), "a *:* rwm\n");
    writeFileSync(allowed, "");
    shareDevices(root);
    expect(readFileSync(allowed, "utf8")).toBe("");
  });

  it("of version 2 are found in the one hierarchy", () => {
    const group = join(root, "containers", "box");
    mkdirSync(join(group, "below"), { recursive: true });
    writeFileSync(join(root, "cgroup.procs"), "");
    writeFileSync(join(group, "cgroup.procs"), "12\n13\n");
    writeFileSync(join(group, "below", "cgroup.procs"), "13\n14\n");
    expect(processesOf("box", root)).toEqual([12, 13, 14]);
    expect(processesOf("other", root)).toEqual([]);
  });

  it("of version 1 are removed from every hierarchy", () => {
    for (const hierarchy of ["memory", "pids"])
      mkdirSync(join(root, hierarchy, "containers", "box", "below"), { recursive: true });
    removeCgroups("box", root);
    for (const hierarchy of ["memory", "pids"]) rmdirSync(join(root, hierarchy, "containers"));
    removeCgroups("box", root);
  });

  it("of version 2 get the available controllers, once no process is left in the root", () => {
    writeFileSync(join(root, "cgroup.controllers"), "cpu memory\n");
    delegateControllers(root, 1);
    expect(readFileSync(join(root, "init", "cgroup.procs"), "utf8")).toBe("1");
    expect(readFileSync(join(root, "cgroup.subtree_control"), "utf8")).toBe("+memory");
  });

  it("of version 2 have no controllers where none is available", () => {
    writeFileSync(join(root, "cgroup.controllers"), "\n");
    delegateControllers(root, 1);
    expect(() => readFileSync(join(root, "cgroup.subtree_control"))).toThrow(/ENOENT/);
  });
});

const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
const devices = mounts.find((line) => / - cgroup \S+ \S*\bdevices\b/.test(line))?.split(" ")[4];

describeWith("root", "the control groups of version 1 for devices")("cgroups for devices in this kernel", () => {
  const guest = join(devices ?? "", `guest-agent-test-${process.pid}`);
  const containers = join(guest, "containers");
  let root: string;
  beforeEach(() => {
    mkdirSync(guest);
    // The kernel refuses this once the group has a child.
    writeFileSync(join(guest, "devices.deny"), "a");
    writeFileSync(join(guest, "devices.allow"), "c 1:3 rwm");
    mkdirSync(containers);
    root = mkdtempSync(join(tmpdir(), "cgroups-"));
    mkdirSync(join(root, "devices"));
    symlinkSync(containers, join(root, "devices", "containers"));
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
    for (const folder of [containers, guest]) rmdirSync(folder);
  });

  it("get the remaining device rules when the host takes one device away meanwhile", () => {
    // The rules as the guest read them, before the host took the device away.
    writeFileSync(join(root, "devices", "devices.list"), "b 7:0 rwm\nc 1:3 rwm\n");
    writeFileSync(join(containers, "devices.deny"), "a");
    shareDevices(root);
    expect(readFileSync(join(containers, "devices.list"), "utf8")).toBe("c 1:3 rwm\n");
  });
});

const version2 = mounts.find((line) => line.includes(" - cgroup2 "))?.split(" ")[4];

describeWith("root", "control groups of version 2")("cgroups of version 2 in this kernel", () => {
  const root = join(version2 ?? "", `guest-agent-test-${process.pid}`);
  const group = join(root, "containers", "box");
  let child: ChildProcess;
  beforeEach(() => {
    mkdirSync(root);
    child = spawn("sleep", ["1000"]);
  });
  afterEach(async () => {
    child.kill("SIGKILL");
    const folders = [join(group, "threads"), group, join(root, "containers"), join(root, "init"), root];
    for (const folder of folders) {
      await vi.waitFor(() => {
        try {
          rmdirSync(folder);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        }
      });
    }
  });

  it("pass controllers on once the root's only process is in a leaf", () => {
    const pid = child.pid ?? 0;
    writeFileSync(join(root, "cgroup.procs"), String(pid));
    delegateControllers(root, pid);
    expect(readFileSync(join(root, "cgroup.procs"), "utf8")).toBe("");
    expect(readFileSync(join(root, "init", "cgroup.procs"), "utf8")).toBe(`${pid}\n`);
    const available = readFileSync(join(root, "cgroup.controllers"), "utf8");
    expect(readFileSync(join(root, "cgroup.subtree_control"), "utf8")).toBe(available);
  });

  it("list the processes of a container that uses threaded groups", () => {
    mkdirSync(join(group, "threads"), { recursive: true });
    writeFileSync(join(group, "threads", "cgroup.type"), "threaded");
    writeFileSync(join(group, "cgroup.procs"), String(child.pid));
    expect(() => readFileSync(join(group, "threads", "cgroup.procs"))).toThrow(/ENOTSUP/);
    expect(processesOf("box", root)).toEqual([child.pid]);
  });
});
