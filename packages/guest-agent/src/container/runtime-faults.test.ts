import { GuestFault } from "@uvm-shim/gcs-bridge";
import { expect, it } from "vitest";
import { namingFields, type RuntimeInput } from "./runtime-faults.ts";

const input: RuntimeInput = {
  process: {
    cwd: "/nowhere",
    user: { uid: 0, gid: 7 },
    args: ["program"],
    rlimits: [{ type: "RLIMIT_NICE", hard: 99, soft: 99 }],
  },
  linux: {
    resources: {
      cpu: { cpus: "99", quota: 7 },
      memory: { limit: 1 },
      pids: { limit: 5 },
      unified: { "memory.high": "1" },
      hugepageLimits: [{ pageSize: "3MB", limit: 1 }],
      blockIO: { weight: 9 },
    },
    sysctl: { "kernel.nothing": "1" },
  },
  mounts: [
    { destination: "/proc" },
    { destination: "/file/below" },
    { destination: `/long/${"a".repeat(256)}` },
    { destination: "/proc/foo" },
    { destination: "/sys/a" },
  ],
};

async function saidOf(message: string, given: RuntimeInput = input): Promise<string> {
  const failing = namingFields(given, () => Promise.reject(new GuestFault("E_FAIL", message)));
  return await failing.catch((error: GuestFault) => `${error.name} ${error.message}`);
}

it.each([
  ["create: writing file `cpuset.cpus`: Numerical result out of range", 'linux.resources.cpu.cpus "99"'],
  ["create: writing file `cpu.cfs_quota_us`: Invalid argument", 'linux.resources.cpu {"cpus":"99","quota":7}'],
  ["create: writing file `cpu.rt_runtime_us`: Invalid argument", 'linux.resources.cpu {"cpus":"99","quota":7}'],
  ["update: writing file `memory.limit_in_bytes`: Device or resource busy", "linux.resources.memory.limit 1"],
  ["runc create failed: container init was OOM-killed (memory limit too low?)", "linux.resources.memory.limit 1"],
  ["create: writing file `pids.max`: Invalid argument", "linux.resources.pids.limit 5"],
  ["create: cannot use unified on cgroup v1", 'linux.resources.unified {"memory.high":"1"}'],
  ["create: setrlimit `RLIMIT_NICE`: Operation not permitted", 'process.rlimits [{"type":"RLIMIT_NICE"'],
  ["create: the sysctl `kernel.nothing` is not namespaced", 'linux.sysctl {"kernel.nothing":"1"}'],
  ["create: seccomp unknown architecture NONE", "linux.seccomp: "],
  ["create: setgroups: Invalid argument", 'process.user {"uid":0'],
  ["exec: chdir `/nowhere`: No such file or directory", 'process.cwd "/nowhere"'],
  ["exec: open executable: Permission denied", 'process.args[0] "program"'],
  ["create: openat2 `sys/fs/cgroup/memory`: Too many open files", 'process.rlimits [{"type":"RLIMIT_NICE"'],
  [
    "create: open `/sys/fs/cgroup/cpuset/containers/x/cpuset.cpus`: Too many open files",
    'process.rlimits [{"type":"RLIMIT_NICE"',
  ],
  ["update: open `/sys/fs/cgroup/hugetlb/containers/x`: No such file", 'linux.resources.hugepageLimits [{"pageSize"'],
  ["update: opening file `blkio.weight` for writing: No such file", 'linux.resources.blockIO {"weight":9}'],
  ["create: mkdir `/file/below`: Not a directory", 'mounts "/file/below"'],
  ["create: mkdir `/proc/foo`: No such file or directory", 'mounts "/proc/foo"'],
  ["create: open `/b/rootfs/proc/foo`: No such file or directory", 'mounts "/proc/foo"'],
  ["create: mkdir `/sys/a`: Operation not permitted", 'mounts "/sys/a"'],
  ['error mounting "tmpfs" to rootfs at "/sys/a": mkdir /b/rootfs/sys/a: read-only file system', 'mounts "/sys/a"'],
  ["create: mkdir `/long/aaaa`: File name too long", 'mounts "/long/aaaa'],
  ["create: chdir `/nowhere`: No such file", 'process.cwd "/nowhere"'],
  ["create: mount `tmpfs` to `t`: Invalid argument", "mounts: "],
  ["create: mount_setattr `/m`: Invalid argument", "mounts: "],
])("names the field of %s", async (message, field) => {
  const said = await saidOf(message);
  expect(said).toContain(`OciSpecification.${field}`);
  expect(said).toContain(`: ${message}`);
});

it.each([
  ["RLIMIT_FSIZE", 4095],
  ["RLIMIT_NOFILE", 8],
  ["RLIMIT_CPU", 0],
])("names the rlimits if %s of %i kept the runtime from reporting why", async (type, limit) => {
  const process = { cwd: "/", rlimits: [{ type, hard: limit, soft: limit }] };
  expect(await saidOf("create: {", { process })).toContain(`OciSpecification.process.rlimits [{"type":"${type}"`);
  const enough = { cwd: "/", rlimits: [{ type, hard: 4096, soft: 4096 }] };
  expect(await saidOf("create: {", { process: enough })).toMatch(/ create: \{$/);
});

it("leaves alone errors that the specification does not explain, and other kinds of errors", async () => {
  expect(await saidOf("delete: something else")).toMatch(/ delete: something else$/);
  const other = new Error("mount");
  await expect(namingFields(input, () => Promise.reject(other))).rejects.toBe(other);
  expect(await namingFields(input, () => Promise.resolve(5))).toBe(5);
});
