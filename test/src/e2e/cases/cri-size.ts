/** How large a pod's VM, its shared memory and its network's freedoms are, whoever makes its sandbox container. */
import assert from "node:assert/strict";
import type { CriPod } from "../../cri/pod.ts";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { execSync, inEachForm, memoryLimit, output, untilExited, withPod } from "../cri-case.ts";
import { MEBIBYTE } from "../images.ts";
import type { Case, CriCaseContext } from "../suite.ts";
import { assertMemory, sizeFor } from "./resources.ts";

const GIBIBYTE = 1024 * MEBIBYTE;
/** What a VM has for containers without limits and its guest. */
const WITHOUT_LIMITS = 1024 * MEBIBYTE;

async function update(context: CriCaseContext, containerId: string, memoryLimitInBytes: number): Promise<void> {
  await context.cri.call("UpdateContainerResources", { containerId, linux: { memoryLimitInBytes } });
}

async function limitedPod(context: CriCaseContext, handler: string): Promise<void> {
  const limit = (memoryLimitInBytes: number) => ({ linux: { resources: { memoryLimitInBytes } } });
  const work = async (pod: CriPod): Promise<void> => {
    await assertMemory(sizeFor(2 * GIBIBYTE));
    const id = await pod.run("within", ["sleep", "1000"], limit(2 * GIBIBYTE));
    await assertMemory(sizeFor(2 * GIBIBYTE));
    // Nothing that a VM of 1 GiB could hold at once.
    await output(context, id, "dd", "if=/dev/zero", "of=/dev/null", "bs=1100M", "count=1");
    await pod.run("later", ["sleep", "1000"], limit(512 * MEBIBYTE));
    await assertMemory(sizeFor(2 * GIBIBYTE + 512 * MEBIBYTE));
    await update(context, id, 3 * GIBIBYTE);
    await assertMemory(sizeFor(3 * GIBIBYTE + 512 * MEBIBYTE));
    assert.equal(await memoryLimit(context, id), 3 * GIBIBYTE);
    await update(context, id, 64 * MEBIBYTE);
    await assertMemory(sizeFor(3 * GIBIBYTE + 512 * MEBIBYTE));
    await pod.run("debugger", ["sleep", "1000"]);
    await assertMemory(sizeFor(3 * GIBIBYTE + 512 * MEBIBYTE));
  };
  await withPod(context, work, limit(2 * GIBIBYTE), handler);
}

async function smallPod(context: CriCaseContext, handler: string): Promise<void> {
  const resources = { memoryLimitInBytes: 64 * MEBIBYTE, cpuQuota: 50_000, cpuPeriod: 100_000, cpuShares: 512 };
  const work = async (pod: CriPod): Promise<void> => {
    await assertMemory(sizeFor(64 * MEBIBYTE));
    const first = await pod.run("init", ["true"], { linux: { resources } });
    await untilExited(context, first);
    await context.cri.call("RemoveContainer", { containerId: first });
    await pod.run("main", ["sleep", "1000"], { linux: { resources } });
    await assertMemory(sizeFor(64 * MEBIBYTE));
    await pod.run("sidecar", ["sleep", "1000"]);
    await assertMemory(WITHOUT_LIMITS + (64 + 2) * MEBIBYTE);
  };
  await withPod(context, work, { linux: { resources } }, handler);
}

async function fixedPod(context: CriCaseContext): Promise<void> {
  const annotations = { "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "512" };
  const linux = { resources: { memoryLimitInBytes: 2 * GIBIBYTE } };
  const refusal = /sizeinmb is 512/;
  const work = async (pod: CriPod): Promise<void> => {
    await assertMemory(512 * MEBIBYTE);
    const small = { linux: { resources: { memoryLimitInBytes: 64 * MEBIBYTE } } };
    const id = await pod.run("small", ["sleep", "1000"], small);
    await assert.rejects(update(context, id, GIBIBYTE), refusal);
    assert.equal(await memoryLimit(context, id), 64 * MEBIBYTE);
    await assert.rejects(pod.run("large", ["sleep", "1000"], { linux }), refusal);
    await assertMemory(512 * MEBIBYTE);
  };
  await withPod(context, work, { annotations, linux });
}

async function sharedMemory(context: CriCaseContext, handler: string): Promise<void> {
  await withPod(
    context,
    async (pod) => {
      const [one = "", two = ""] = await Promise.all(["one", "two"].map((name) => pod.run(name, ["sleep", "1000"])));
      for (const id of [one, two]) {
        assert.match(await output(context, id, "df", "-k", "/dev/shm"), /\s65536\s+\d+\s+\d+\s+\d+% \/dev\/shm\n$/);
        assert.equal(await output(context, id, "stat", "-c", "%a", "/dev/shm"), "1777\n");
      }
      await output(context, one, "sh", "-c", "echo word > /dev/shm/word");
      assert.equal(await output(context, two, "cat", "/dev/shm/word"), "word\n");
      const fill = ["dd", "if=/dev/zero", "of=/dev/shm/full", "bs=1M", "count=70"];
      const { status, stderr } = await execSync(context, one, fill);
      assert.notEqual(status, 0);
      assert.match(stderr, /No space left on device/);
    },
    {},
    handler,
  );
}

async function unprivileged(context: CriCaseContext, handler: string): Promise<void> {
  await withPod(
    context,
    async (pod) => {
      const linux = { securityContext: { runAsUser: { value: 1000 } } };
      const id = await pod.run("user", ["sleep", "1000"], { linux });
      assert.equal(await output(context, id, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "0\n");
      assert.equal(await output(context, id, "cat", "/proc/sys/net/ipv4/ping_group_range"), "0\t2147483647\n");
      const listening = execSync(context, id, ["nc", "-l", "-p", "80", "-e", "echo", "heard"]);
      const heard = async (): Promise<string | undefined> =>
        (await execSync(context, id, ["nc", "127.0.0.1", "80"])).stdout || undefined;
      const until = { timeoutMs: READY_MS, signal: context.signal };
      assert.equal(await poll("a user to be heard at port 80", heard, until), "heard\n");
      assert.equal((await listening).status, 0);
    },
    {},
    handler,
  );
}

const hasVms = ({ runtime }: CriCaseContext): boolean => runtime.key === "lcow";

export const criSizeCases: readonly Case<CriCaseContext>[] = [
  ...inEachForm("a VM is as large as its pod's limits, and grows for those above them", limitedPod, hasVms),
  ...inEachForm("a VM of a small pod is small, and has memory for containers without limits", smallPod, hasVms),
  ...inEachForm("the containers of a pod share memory of 64 MiB", sharedMemory),
  ...inEachForm(
    "users of a pod may listen at low ports and send pings",
    unprivileged,
    // Before, it has to be configured.
    ({ containerd }) => containerd.build.major >= 2,
  ),
  {
    name: "CRI: a VM of a fixed size refuses limits above it",
    // A pod's annotations reach the shim in that form alone, unless containerd is configured to pass them on.
    applies: ({ forms, runtime }) => runtime.key === "lcow" && forms.includes("shim"),
    run: fixedPod,
  },
];
