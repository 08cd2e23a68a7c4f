/** Pods in the cgroups that a kubelet makes for them. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { CriPod } from "../../cri/pod.ts";
import type { PodForm } from "../containerd.ts";
import { execSync, inEachForm, output, withPod } from "../cri-case.ts";
import { MEBIBYTE } from "../images.ts";
import { servingShims } from "../machine.ts";
import type { Case, CriCaseContext } from "../suite.ts";

const COUNT = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";

function groupsBelow(group: string): readonly string[] {
  const below = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [group, ...below.flatMap(({ name }) => groupsBelow(join(group, name)))];
}

function processesBelow(group: string): readonly number[] {
  return groupsBelow(group).flatMap((one) =>
    readFileSync(join(one, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number),
  );
}

async function usage({ cri }: CriCaseContext, { id }: CriPod) {
  const { stats } = await cri.call("ListPodSandboxStats", { filter: { id } });
  const linux = stats[0]?.linux;
  return {
    cpuNanoseconds: Number(linux?.cpu?.usageCoreNanoSeconds?.value ?? 0),
    memory: Number(linux?.memory?.workingSetBytes?.value ?? 0),
  };
}

async function accounted(context: CriCaseContext, handler: string, form: PodForm): Promise<void> {
  await withPod(
    context,
    async (pod) => {
      const linux = { resources: { memoryLimitInBytes: 64 * MEBIBYTE } };
      const id = await pod.run("measured", ["sleep", "1000"], { linux });
      // A sandboxer belongs to no pod.
      const shims = form === "sandboxer" ? [] : servingShims(context.runtime, pod.id);
      assert.equal(shims.length, form === "sandboxer" ? 0 : 1);
      const groups = pod.controlGroups;
      assert.ok(groups.length > 0);
      for (const group of groups) {
        const inShim = processesBelow(join(group, pod.id, "shim"));
        const inVm = processesBelow(join(group, pod.id, "vm"));
        if (form === "sandboxer") assert.deepEqual(inShim, []);
        for (const shim of shims)
          assert.ok(inShim.includes(shim), `${group}: the shim is ${shim}, there are ${inShim}`);
        // The process that started the guest, its agent, and the container's at least.
        assert.ok(inVm.length >= 3, `${group}: there are ${inVm}`);
        assert.deepEqual([...processesBelow(group)].sort(), [...inShim, ...inVm].sort(), "and nothing else");
      }
      const [, memory] = limited(groups, pod, id, ["memory.limit_in_bytes", "memory.max"]);
      assert.equal(memory, `${64 * MEBIBYTE}`, "a container's limits lie below the pod's group");
      const before = await usage(context, pod);
      assert.ok(before.memory > 10 * MEBIBYTE, `${before.memory} bytes`);
      const count = await output(context, id, "sh", "-c", `head -c ${30 * MEBIBYTE} /dev/zero >/dev/shm/x; ${COUNT}`);
      assert.equal(count, "");
      const after = await usage(context, pod);
      assert.ok(after.cpuNanoseconds - before.cpuNanoseconds > 20_000_000, JSON.stringify({ before, after }));
      assert.ok(after.memory - before.memory > 20 * MEBIBYTE, JSON.stringify({ before, after }));
    },
    {},
    handler,
  );
}

/** A container's group below the pod's, and what it says in the first of some files that there is. */
function limited(
  groups: readonly string[],
  pod: CriPod,
  container: string,
  files: readonly string[],
): readonly [group: string, text: string] {
  for (const group of groups.flatMap((one) => groupsBelow(join(one, pod.id, "vm")))) {
    const file = files.map((name) => join(group, name)).find((path) => existsSync(path));
    if (basename(group) === container && file !== undefined) return [group, readFileSync(file, "utf8").trim()];
  }
  throw new Error(`container ${container} has no group with ${files.join(" or ")} below the pod's`);
}

/** `podPidsLimit` of a kubelet is written to the pod's group. */
async function bounded(context: CriCaseContext, handler: string): Promise<void> {
  await withPod(
    context,
    async (pod) => {
      const id = await pod.run("many", ["sleep", "1000"]);
      const [group] = pod.controlGroups.filter((one) => existsSync(join(one, "pids.max")));
      assert.ok(group !== undefined, "the machine limits no processes");
      const spawn = ["sh", "-c", "for i in $(seq 100); do sleep 1000 & done; kill $(jobs -p); wait; echo all"];
      assert.equal((await execSync(context, id, spawn)).stdout, "all\n");
      const current = Number(readFileSync(join(group, "pids.current"), "utf8"));
      writeFileSync(join(group, "pids.max"), `${current + 50}`);
      const refused = await execSync(context, id, spawn);
      assert.match(refused.stderr, /can't fork/);
      assert.notEqual(refused.stdout, "all\n");
      writeFileSync(join(group, "pids.max"), "max");
    },
    {},
    handler,
  );
}

export const criControlGroupCases: readonly Case<CriCaseContext>[] = [
  ...inEachForm("shim, VM and containers are in the pod's cgroup, which accounts them", accounted),
  ...inEachForm("a pod has no more processes than its cgroup may", bounded),
];
