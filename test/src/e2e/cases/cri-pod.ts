/** What the containers of a pod are given, what they use, and what becomes of them when they take too much. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { containerStatus, execSync, memoryLimit, output, untilExited, withPod } from "../cri-case.ts";
import { MEBIBYTE } from "../images.ts";
import type { Case, CriCaseContext } from "../suite.ts";

const DNS = { servers: ["192.0.2.53"], searches: ["e2e.svc.cluster.local"], options: ["ndots:5"] };
const SYSCTLS = { "net.ipv4.ip_unprivileged_port_start": "900", "kernel.shm_rmid_forced": "1" };

async function files(context: CriCaseContext): Promise<void> {
  const host = join(context.scratch, context.newId("files"));
  mkdirSync(host);
  const hosts = join(host, "hosts");
  const log = join(host, "termination-log");
  writeFileSync(hosts, "192.0.2.9 from-the-kubelet\n");
  writeFileSync(log, "");
  writeFileSync(join(host, "secret"), "not for containers\n");
  await withPod(
    context,
    async (pod) => {
      const mounts = [
        { containerPath: "/etc/hosts", hostPath: hosts, readonly: true },
        { containerPath: "/dev/termination-log", hostPath: log },
      ];
      const first = await pod.run("first", ["sleep", "1000"], { mounts });
      const second = await pod.run("second", ["sleep", "1000"]);
      const name = pod.config.hostname;
      for (const id of [first, second]) {
        assert.equal(await output(context, id, "hostname"), `${name}\n`);
        assert.equal(await output(context, id, "cat", "/etc/hostname"), `${name}\n`);
        assert.equal(
          await output(context, id, "cat", "/etc/resolv.conf"),
          `search ${DNS.searches[0]}\nnameserver ${DNS.servers[0]}\noptions ${DNS.options[0]}\n`,
        );
        for (const [setting, value] of Object.entries(SYSCTLS)) {
          assert.equal(await output(context, id, "cat", `/proc/sys/${setting.replaceAll(".", "/")}`), `${value}\n`);
        }
      }
      assert.notEqual((await execSync(context, first, ["sh", "-c", "echo x > /etc/resolv.conf"])).status, 0);
      assert.equal(await output(context, first, "cat", "/etc/hosts"), readFileSync(hosts, "utf8"));
      assert.match(await output(context, second, "cat", "/etc/hosts"), new RegExp(`127.0.0.1 ${name}`));
      assert.notEqual((await execSync(context, first, ["sh", "-c", "echo x > /etc/hosts"])).status, 0);
      await output(context, first, "sh", "-c", "echo why it ended > /dev/termination-log");
      assert.equal(readFileSync(log, "utf8"), "why it ended\n");
      await output(context, first, "sh", "-c", "echo shared > /dev/shm/word");
      assert.equal(await output(context, second, "cat", "/dev/shm/word"), "shared\n");
    },
    { dnsConfig: DNS, linux: { sysctls: SYSCTLS } },
  );
}

async function figures(context: CriCaseContext): Promise<void> {
  const { cri } = context;
  await withPod(context, async (pod) => {
    const linux = { resources: { memoryLimitInBytes: 64 * MEBIBYTE, cpuPeriod: 100_000, cpuQuota: 50_000 } };
    const id = await pod.run("measured", ["sleep", "1000"], { linux });
    const other = await pod.run("other", ["sleep", "1000"]);
    await output(context, id, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    const { stats } = await cri.call("ContainerStats", { containerId: id });
    assert.equal(stats?.attributes?.id, id);
    assert.ok(Number(stats?.cpu?.usageCoreNanoSeconds?.value) > 1_000_000, JSON.stringify(stats?.cpu));
    const memory = Number(stats?.memory?.workingSetBytes?.value);
    assert.ok(memory > 0 && memory < 64 * MEBIBYTE, `working set: ${memory}`);
    const listed = await cri.call("ListContainerStats", {});
    assert.deepEqual(listed.stats.map(({ attributes }) => attributes?.id).sort(), [id, other].sort());
    const pods = await cri.call("ListPodSandboxStats", { filter: { id: pod.id } });
    assert.deepEqual(
      pods.stats.map(({ attributes, linux: of }) => [
        attributes?.id,
        of?.containers.length,
        of?.process?.processCount?.value,
      ]),
      [[pod.id, 2, 2]],
    );
    assert.equal(await memoryLimit(context, id), 64 * MEBIBYTE);
    const resources = { memoryLimitInBytes: 96 * MEBIBYTE, cpuPeriod: 100_000, cpuQuota: 80_000 };
    await cri.call("UpdateContainerResources", { containerId: id, linux: resources });
    assert.equal(await memoryLimit(context, id), 96 * MEBIBYTE);
    const quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max";
    assert.equal(await output(context, id, "sh", "-c", quota), "80000\n");
  });
}

async function outOfMemory(context: CriCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const linux = { resources: { memoryLimitInBytes: 32 * MEBIBYTE } };
    // tail keeps what it has read of a line, and this one has no end.
    const [greedy, modest, parent] = await Promise.all([
      pod.run("greedy", ["tail", "/dev/zero"], { linux }),
      pod.run("modest", ["sleep", "1000"], { linux }),
      pod.run("parent", ["sh", "-c", "tail /dev/zero; echo survived; exec sleep 1000"], { linux }),
    ]);
    const ended = await untilExited(context, greedy);
    assert.deepEqual([ended.exitCode, ended.reason], [137, "OOMKilled"]);
    const reasonOf = async (id: string): Promise<string | undefined> =>
      (await containerStatus(context, id)).reason || undefined;
    const reason = await poll("the kill of a child to be reported", () => reasonOf(parent), {
      timeoutMs: READY_MS,
      signal: context.signal,
    });
    assert.equal(reason, "OOMKilled");
    assert.equal(await reasonOf(modest), undefined);
    await poll("the parent to go on", () => pod.logged("parent").stdout.includes("survived") || undefined, {
      timeoutMs: READY_MS,
      signal: context.signal,
    });
  });
}

async function tenContainers(context: CriCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const numbers = Array.from({ length: 10 }, (_, index) => index);
    const script = (number: number): string =>
      `echo from ${number}; until [ -e /tmp/go ]; do sleep 0.1; done; exit ${number}`;
    const ids = await Promise.all(numbers.map((number) => pod.run(`${number}`, ["sh", "-c", script(number)])));
    const seen = await Promise.all(ids.map((id) => output(context, id, "sh", "-c", "hostname; touch /tmp/go")));
    assert.deepEqual(
      seen,
      numbers.map(() => `${pod.config.hostname}\n`),
    );
    const ended = await Promise.all(ids.map((id) => untilExited(context, id)));
    assert.deepEqual(
      ended.map(({ exitCode }) => exitCode),
      numbers,
    );
    for (const number of numbers) assert.equal(pod.logged(`${number}`).stdout, `from ${number}\n`);
  });
}

export const criPodCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: hostname, resolv.conf, hosts, shared memory, settings and termination messages", run: files },
  { name: "CRI: ten containers of a pod at once", run: tenContainers },
  { name: "CRI: figures of containers and pods, changed limits", run: figures },
  {
    name: "CRI: only the container that takes too much memory is killed, and reported as killed for it",
    run: outOfMemory,
  },
];
