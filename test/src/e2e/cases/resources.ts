import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { guestKind, WAIT_MS } from "../../support/guest-kind.ts";
import { readInGuest } from "../../support/in-guest.ts";
import { processorQuota } from "../../support/processor-quota.ts";
import { findServers } from "../../support/servers.ts";
import { updateTask } from "../containerd-grpc.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, withDetached } from "./ctr.ts";

const MEBIBYTE = 2 ** 20;
/** What a guest keeps for itself of the VM's memory. */
const GUEST_PART = 75 * MEBIBYTE;

/** What a VM has for containers without limits. */
const WITHOUT_LIMITS = 1024 * MEBIBYTE;

interface Figures {
  readonly cpuNanoseconds: number;
  readonly memory: number;
  readonly memoryLimit: number;
  readonly processes: number;
}

/** What `ctr task metrics` shows, of either version of cgroups. */
async function metricsOf(context: CaseContext, id: string): Promise<Figures> {
  const text = await context.containerd.mustCtr(["task", "metrics", "--format", "json", id]);
  const { cpu, memory, pids } = JSON.parse(text) as {
    readonly cpu: { readonly usage?: { readonly total: number }; readonly usage_usec?: number };
    readonly memory: {
      readonly usage: number | { readonly usage: number; readonly limit: number };
      readonly usage_limit?: number;
    };
    readonly pids: { readonly current: number };
  };
  const isV1 = typeof memory.usage === "object";
  return {
    cpuNanoseconds: cpu.usage?.total ?? (cpu.usage_usec ?? 0) * 1000,
    memory: isV1 ? (memory.usage as { usage: number }).usage : (memory.usage as number),
    memoryLimit: isV1 ? (memory.usage as { limit: number }).limit : (memory.usage_limit ?? 0),
    processes: pids.current,
  };
}

async function figuresGrow(context: CaseContext): Promise<void> {
  await withDetached(context, {}, async (id) => {
    const before = await metricsOf(context, id);
    assert.ok(before.cpuNanoseconds > 0, `${before.cpuNanoseconds} ns of processor time`);
    assert.ok(before.memory > 0 && before.memory < 50 * MEBIBYTE, `${before.memory} bytes before`);
    assert.equal(before.processes, 1);
    assertStatus(await exec(context, id, ["sh", "-c", `head -c ${50 * MEBIBYTE} /dev/zero > /dev/shm/held`]), 0);
    const held = await metricsOf(context, id);
    const more = held.memory - before.memory;
    // The kernel counts in batches, and takes back meanwhile what starting the container left.
    assert.ok(more > 45 * MEBIBYTE && more < 70 * MEBIBYTE, `50 MiB are held, ${more} bytes more are counted`);
    const count = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
    const started = process.hrtime.bigint();
    assertStatus(await exec(context, id, ["sh", "-c", count]), 0);
    const elapsed = Number(process.hrtime.bigint() - started);
    const spent = (await metricsOf(context, id)).cpuNanoseconds - held.cpuNanoseconds;
    assert.ok(spent > 20_000_000 && spent < 2 * elapsed, `${spent} ns counted in ${elapsed} ns of computing`);
    assertStatus(await exec(context, id, ["rm", "/dev/shm/held"]), 0);
    assert.ok((await metricsOf(context, id)).memory < held.memory - 40 * MEBIBYTE, "what is given back is not counted");
  });
}

/** What cadvisor's `container_cpu_cfs_*` are made of. */
async function throttled(context: CaseContext): Promise<void> {
  await withDetached(context, { flags: ["--cpu-period", "10000", "--cpu-quota", "2000"] }, async (id) => {
    assertStatus(await exec(context, id, ["sh", "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"]), 0);
    const text = await context.containerd.mustCtr(["task", "metrics", "--format", "json", id]);
    const { cpu } = JSON.parse(text) as {
      readonly cpu: {
        readonly throttling?: { readonly periods: number; throttled_periods: number; throttled_time: number };
        readonly nr_periods?: number;
        readonly nr_throttled?: number;
        readonly throttled_usec?: number;
      };
    };
    const periods = cpu.throttling?.periods ?? cpu.nr_periods ?? 0;
    const throttledPeriods = cpu.throttling?.throttled_periods ?? cpu.nr_throttled ?? 0;
    assert.ok(periods >= throttledPeriods && throttledPeriods > 0, JSON.stringify(cpu));
    assert.ok((cpu.throttling?.throttled_time ?? cpu.throttled_usec ?? 0) > 0, JSON.stringify(cpu));
  });
}

interface Limits {
  readonly memory: number;
  readonly containers: number;
  readonly processors: number;
}

/** The limits that a guest on this machine's kernel sees on itself and on its containers. */
async function limitsOfProcesses(): Promise<Limits> {
  const isV1 = existsSync("/sys/fs/cgroup/memory");
  const [quota, period] = isV1
    ? [
        await readInGuest("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        await readInGuest("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
      ]
    : (await readInGuest("/sys/fs/cgroup/cpu.max")).split(" ");
  const memory = async (group: string): Promise<number> =>
    Number(
      await readInGuest(
        isV1 ? `/sys/fs/cgroup/memory${group}/memory.limit_in_bytes` : `/sys/fs/cgroup${group}/memory.max`,
      ),
    );
  return {
    memory: await memory(""),
    containers: await memory("/containers"),
    processors: Number(quota) / Number(period),
  };
}

/** The memory that a kernel has, and what its containers may have of it; of its processors' time it sees nothing. */
async function limitsOfMachine(): Promise<Omit<Limits, "processors">> {
  const total = /^MemTotal: +(\d+) kB$/m.exec(await readInGuest("/proc/meminfo"))?.[1];
  return {
    memory: Number(total) * 1024,
    containers: Number(await readInGuest("/sys/fs/cgroup/containers/memory.max")),
  };
}

/** A kernel counts without its own image, buffers and tables, of which memory that is added later has some too. */
const isAlmost = (actual: number, expected: number): boolean =>
  actual <= expected && actual >= expected - 128 * MEBIBYTE - expected / 32;

/** Waits until the guest sees so much memory for itself and its containers: a kernel takes its time to give some back. */
export async function assertMemory(size: number): Promise<void> {
  const expected = { memory: size, containers: size - GUEST_PART };
  if (guestKind === "process") {
    const { memory, containers } = await limitsOfProcesses();
    assert.deepEqual({ memory, containers }, expected);
    return;
  }
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const seen = await limitsOfMachine();
    if (isAlmost(seen.memory, expected.memory) && isAlmost(seen.containers, expected.containers)) return;
    if (performance.now() > deadline) assert.deepEqual(seen, expected, "and some less for the kernel itself");
  }
}

/** The processors that a VM may use, as its guest or, for a virtual machine, the host's control group has it. */
async function processors(): Promise<number> {
  if (guestKind === "process") return (await limitsOfProcesses()).processors;
  return processorQuota(findServers()["guest agent"]);
}

async function updateOfAVm(context: CaseContext): Promise<void> {
  const { containerd } = context;
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  await withDetached(context, {}, async (pod) => {
    const flags = ["--annotation", `io.uvm-shim.sandbox-id=${pod}`];
    await withDetached(context, { flags }, async (member) => {
      await assertMemory(WITHOUT_LIMITS);
      const first = await processors();
      assert.ok(first >= 1, `${first} processors at first`);
      for (const [size, quota] of [
        [768, 50_000],
        [896, 25_000],
        [640, 100_000],
      ] as const) {
        await updateTask(endpoint, pod, { memory: { limit: size * MEBIBYTE }, cpu: { quota, period: 100_000 } });
        await assertMemory(size * MEBIBYTE);
        assert.equal(await processors(), quota / 100_000);
        assert.equal((await metricsOf(context, pod)).memoryLimit, size * MEBIBYTE);
      }
      await updateTask(endpoint, member, { memory: { limit: 64 * MEBIBYTE } });
      assert.equal((await metricsOf(context, member)).memoryLimit, 64 * MEBIBYTE);
      // A member's limits are its own.
      await assertMemory(640 * MEBIBYTE);
      // Before 2.0, containerd knows no "resource exhausted", which is 8, and calls it unknown.
      await assert.rejects(
        updateTask(endpoint, pod, { memory: { limit: 2 * MEBIBYTE } }),
        /gRPC status [28]: .*memory limit 2 MiB is too small/,
      );
      await assert.rejects(updateTask(endpoint, pod, { memory: { limit: "1" } }), /gRPC status 3: .*memory\.limit/);
      await assertMemory(640 * MEBIBYTE);
      assertStatus(await exec(context, pod, ["true"]), 0);
    });
  });
}

/** What a VM has for limits that come to so much: with what its guest needs, and its kernel's tables. */
export function sizeFor(bytes: number): number {
  return 256 * MEBIBYTE + bytes + bytes / 32;
}

async function sizeOfAVm(context: CaseContext): Promise<void> {
  const { containerd } = context;
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  const limited = (bytes: number): readonly string[] => ["--memory-limit", `${bytes}`];
  await withDetached(context, { flags: limited(2048 * MEBIBYTE) }, async (pod) => {
    await assertMemory(sizeFor(2048 * MEBIBYTE));
    const flags = ["--annotation", `io.uvm-shim.sandbox-id=${pod}`, ...limited(512 * MEBIBYTE)];
    await withDetached(context, { flags }, async (member) => {
      await assertMemory(sizeFor(2560 * MEBIBYTE));
      await updateTask(endpoint, member, { memory: { limit: 1024 * MEBIBYTE } });
      await assertMemory(sizeFor(3072 * MEBIBYTE));
      assert.equal((await metricsOf(context, member)).memoryLimit, 1024 * MEBIBYTE);
    });
  });
}

export const resourceCases: readonly Case[] = [
  { name: "metrics of a task are true figures", run: figuresGrow },
  { name: "metrics of a task show how often, and for how long, its quota throttled it", run: throttled },
  {
    name: "an update of a sandbox's task changes the VM's memory and processors",
    applies: ({ runtime }) => runtime.key === "lcow",
    run: updateOfAVm,
  },
  {
    name: "a VM is as large as the limits of its containers, and grows for those above it",
    applies: ({ runtime }) => runtime.key === "lcow",
    run: sizeOfAVm,
  },
];
