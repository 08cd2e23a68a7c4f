/** What a specification says of a container, seen from inside it. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MEBIBYTE } from "../images.ts";
import type { Case, CaseContext } from "../suite.ts";
import { type ConfiguredOptions, runConfigured } from "./configured.ts";
import { assertStatus } from "./ctr.ts";

/** Runs a script to its end; answers with what it printed, which is nothing but output. */
async function outputOf(
  context: CaseContext,
  script: readonly string[],
  change: ConfiguredOptions["change"],
  prepare?: ConfiguredOptions["prepare"],
): Promise<string> {
  const result = await runConfigured(context, {
    ...{ id: context.newId("configured"), args: ["sh", "-c", script.join("\n")], change, flags: ["--rm"] },
    ...(prepare && { prepare }),
  });
  assertStatus(result, 0);
  return result.stdout.toString();
}

const CONTROL_GROUPS = { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] };

/** The files of a container's control group, in either version of control groups. */
function figure(controller: string, v1: string, v2: string): string {
  const group = "/sys/fs/cgroup";
  return existsSync(`${group}/memory`) ? `cat ${group}/${controller}/${v1}` : `cat ${group}/${v2}`;
}

async function limits(context: CaseContext): Promise<void> {
  const memory = 64 * MEBIBYTE;
  const output = await outputOf(
    context,
    [
      figure("memory", "memory.limit_in_bytes", "memory.max"),
      figure("cpu", "cpu.cfs_quota_us", "cpu.max | cut -d' ' -f1"),
      figure("pids", "pids.max", "pids.max"),
      "sh -c 'i=0; while [ $i -lt 20 ]; do sleep 100 & i=$((i+1)); done' 2>/tmp/refused",
      // Nothing that the shell has not itself can be started any more.
      "read line </tmp/refused; echo $line",
    ],
    (specification) => ({
      ...specification,
      mounts: [...specification.mounts, CONTROL_GROUPS],
      linux: {
        ...specification.linux,
        resources: { memory: { limit: memory }, cpu: { quota: 40_000, period: 100_000 }, pids: { limit: 12 } },
      },
    }),
  );
  assert.match(output, new RegExp(`^${memory}\n40000\n12\n.*can't fork`));
}

async function privileges(context: CaseContext): Promise<void> {
  const capabilities = ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"];
  const output = await outputOf(
    context,
    [
      "grep -E '^(CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status",
      "ulimit -n; ulimit -H -n; cat /proc/self/oom_score_adj",
      "mkdir /data/refused || chmod 700 /data && echo only mkdir",
      "chroot / true || echo no chroot",
      "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start",
      "wc -c </proc/meminfo; (echo 0 >/proc/sys/kernel/shm_rmid_forced) || echo kept",
    ],
    ({ process, linux, ...specification }) => ({
      ...specification,
      process: {
        ...process,
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 77, hard: 99 }],
        oomScoreAdj: 321,
      },
      linux: {
        ...linux,
        sysctl: { "kernel.shm_rmid_forced": "1", "net.ipv4.ip_unprivileged_port_start": "901" },
        maskedPaths: ["/proc/meminfo"],
        readonlyPaths: ["/proc/sys"],
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
        },
      },
    }),
  );
  const granted = "0000000000000401";
  assert.deepEqual(output.replaceAll("\t", " ").trim().split("\n"), [
    ...[`CapPrm: ${granted}`, `CapEff: ${granted}`, `CapBnd: ${granted}`, "NoNewPrivs: 1", "Seccomp: 2"],
    ...["77", "99", "321", "only mkdir", "no chroot", "1", "901", "0", "kept"],
  ]);
}

/** File systems of the guest's kernel, which the host only names. */
async function guestFileSystems(context: CaseContext): Promise<void> {
  const mounts = [
    { destination: "/small", type: "tmpfs", source: "tmpfs", options: ["nosuid", "size=1024k", "mode=750"] },
    { destination: "/held", type: "ramfs", source: "ramfs", options: ["nodev"] },
    { destination: "/queues", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "mode=1777", "size=2048k"] },
    CONTROL_GROUPS,
  ];
  const output = await outputOf(
    context,
    [
      ...["/small", "/held", "/queues", "/dev/shm", "/proc", "/sys", "/dev/pts", "/dev"].map(
        (place) => `while read _ at type options _; do [ $at != ${place} ] || echo $at $type; done </proc/mounts`,
      ),
      "df -k /small | tail -n 1; df -k /dev/shm | tail -n 1; stat -c %a /small /dev/shm",
      "head -c 2097152 /dev/zero >/small/file || wc -c </small/file",
      "group=/sys/fs/cgroup; [ ! -d $group/pids ] || group=$group/pids",
      "mkdir $group/below || wc -l <$group/cgroup.procs",
    ],
    (specification) => ({ ...specification, mounts: [...specification.mounts, ...mounts] }),
  );
  assert.match(
    output,
    new RegExp(
      [
        "^/small tmpfs\n/held ramfs\n/queues mqueue\n/dev/shm tmpfs\n/proc proc\n/sys sysfs\n/dev/pts devpts\n/dev tmpfs",
        "tmpfs +1024 .*",
        "tmpfs +2048 .*",
        "750\n1777\n1048576\n1\n$",
      ].join("\n"),
    ),
  );
}

const PEOPLE = "root:x:0:0:root:/root:/bin/sh\nworker:x:1234:2345:Worker:/:/bin/sh\n";
const GROUPS = "root:x:0:\nworkers:x:2345:\nnight:x:3456:other,worker\nday:x:4567:worker\n";

async function users(context: CaseContext): Promise<void> {
  for (const [user, expected] of [
    // The guest looks for the user's own group, and for no other that names the user.
    [{ uid: 0, gid: 0, username: "worker" }, "1234 2345 2345"],
    [{ uid: 0, gid: 0, username: "worker:day" }, "1234 4567 4567"],
    [{ uid: 0, gid: 0, username: "1234" }, "1234 2345 2345"],
    [{ uid: 0, gid: 0, username: "77:88" }, "77 88 88"],
    [{ uid: 5, gid: 6, additionalGids: [7, 8] }, "5 6 6 7 8"],
  ] as const) {
    const output = await outputOf(
      context,
      ["echo $(id -u) $(id -g) $(id -G)"],
      (specification) => ({ ...specification, process: { ...specification.process, user } }),
      (rootfs) => {
        writeFileSync(join(rootfs, "etc", "passwd"), PEOPLE);
        writeFileSync(join(rootfs, "etc", "group"), GROUPS);
      },
    );
    assert.equal(output, `${expected}\n`, JSON.stringify(user));
  }
}

const onUtilityVms = (context: CaseContext): boolean => context.runtime.key === "lcow";

export const specificationCases: readonly Case[] = [
  { name: "limits of memory, processors and processes", applies: onUtilityVms, run: limits },
  {
    name: "capabilities, seccomp, limits of a process, kernel settings, masked and read-only paths",
    applies: onUtilityVms,
    run: privileges,
  },
  { name: "the guest's own file systems as mounts", applies: onUtilityVms, run: guestFileSystems },
  { name: "users by name and number, with their group", applies: onUtilityVms, run: users },
];
