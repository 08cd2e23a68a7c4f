/** What is left of pods that have ended, until a kubelet removes them. */
import assert from "node:assert/strict";
import { poll } from "../../support/wait.ts";
import { CONTAINER_EXITED, containerStatus, READY_MS, SANDBOX_NOTREADY, untilExited, withPod } from "../cri-ground.ts";
import { servingShims } from "../machine.ts";
import type { Case, CriGround } from "../suite.ts";

/** What a kubelet asks of a completed pod, for as long as it keeps it. */
async function toldCompleted(ground: CriGround, podSandboxId: string, containerId: string): Promise<void> {
  const { cri } = ground;
  const { status } = await cri.call("PodSandboxStatus", { podSandboxId });
  assert.equal(status?.state, SANDBOX_NOTREADY);
  const { items } = await cri.call("ListPodSandbox", { filter: { id: podSandboxId } });
  assert.deepEqual(
    items.map(({ id, state }) => [id, state]),
    [[podSandboxId, SANDBOX_NOTREADY]],
  );
  const { state, exitCode } = await containerStatus(ground, containerId);
  assert.deepEqual([state, exitCode], [CONTAINER_EXITED, 3]);
}

async function completedPod(ground: CriGround): Promise<void> {
  const { cri, containerd, runtime, signal } = ground;
  await withPod(ground, async (pod) => {
    const id = await pod.run("job", ["sh", "-c", "echo done; exit 3"]);
    await untilExited(ground, id);
    const [shim] = servingShims(runtime, pod.id);
    assert.ok(shim !== undefined);
    await cri.call("StopPodSandbox", { podSandboxId: pod.id });
    await toldCompleted(ground, pod.id, id);
    await poll("the shim to end", async () => (servingShims(runtime, pod.id).length === 0 ? true : undefined), {
      ...{ timeoutMs: READY_MS, signal },
    });
    // containerd says nothing of the pod while it cleans up after the process.
    await poll(
      "containerd to take notice",
      async () => await cri.call("PodSandboxStatus", { podSandboxId: pod.id }).catch(() => undefined),
      { timeoutMs: READY_MS, signal },
    );
    await toldCompleted(ground, pod.id, id);
    await containerd.stop();
    await containerd.start(signal);
    await toldCompleted(ground, pod.id, id);
    for (let time = 0; time < 2; time++) await cri.call("StopPodSandbox", { podSandboxId: pod.id });
    assert.equal(pod.logged("job").stdout, "done\n");
    await cri.call("RemoveContainer", { containerId: id });
  });
  const { items } = await cri.call("ListPodSandbox", {});
  assert.deepEqual(items, []);
}

export const criEndCases: readonly Case<CriGround>[] = [
  { name: "CRI: a completed pod keeps no shim, and is told, kept and removed without it", run: completedPod },
];
