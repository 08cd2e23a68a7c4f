/** Pods whose guest hangs or whose shim is gone: containerd, and with it every other pod, must not hang with them. */
import assert from "node:assert/strict";
import { freezeGuest, systemOf, thawGuest } from "../../support/frozen-guest.ts";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import {
  CONTAINER_EXITED,
  CONTAINER_RUNNING,
  containerStatus,
  output,
  SANDBOX_NOTREADY,
  untilExited,
  withPod,
} from "../cri-case.ts";
import { servingShims } from "../machine.ts";
import type { Case, CriCaseContext } from "../suite.ts";
import { timed } from "./ctr.ts";

/** What containerd allows for figures, and some for itself. */
const FIGURES_MS = 2_500;

async function hungAndThawed(context: CriCaseContext): Promise<void> {
  const { cri, containerd } = context;
  await withPod(context, async (pod) => {
    const id = await pod.run("long", ["sleep", "1000"]);
    const system = systemOf(containerd.namespace, pod.id);
    await freezeGuest(system);
    const { milliseconds } = await timed(() => cri.call("ContainerStats", { containerId: id }).catch(() => undefined));
    assert.ok(milliseconds < FIGURES_MS, `ContainerStats took ${milliseconds} ms`);
    const status = await timed(() => containerStatus(context, id));
    assert.equal(status.result.state, CONTAINER_RUNNING);
    assert.ok(status.milliseconds < 1000, `ContainerStatus took ${status.milliseconds} ms`);
    await containerd.stop();
    await containerd.start(context.signal);
    assert.equal((await containerStatus(context, id)).state, CONTAINER_RUNNING);
    await thawGuest(system);
    assert.equal(await output(context, id, "echo", "alive"), "alive\n");
    const { stats } = await cri.call("ContainerStats", { containerId: id });
    assert.ok(stats?.memory, "figures are back");
  });
}

async function hungAndStopped(context: CriCaseContext): Promise<void> {
  const { containerd } = context;
  await withPod(context, async (pod) => {
    const ids = [await pod.run("one", ["sleep", "1000"]), await pod.run("two", ["sleep", "1000"])];
    await freezeGuest(systemOf(containerd.namespace, pod.id));
    await pod.stop();
    for (const id of ids) assert.notEqual((await untilExited(context, id)).exitCode, 0);
  });
}

async function shimKilled(context: CriCaseContext): Promise<void> {
  const { cri } = context;
  await withPod(context, async (pod) => {
    const id = await pod.run("long", ["sleep", "1000"]);
    for (const pid of servingShims(context.runtime, pod.id)) process.kill(pid, "SIGKILL");
    await poll(
      "the pod and its container to be reported dead",
      async () => {
        // containerd itself may be about to lose the connection.
        const answer = await cri.call("PodSandboxStatus", { podSandboxId: pod.id }).catch(() => undefined);
        const container = await containerStatus(context, id);
        return (answer?.status?.state === SANDBOX_NOTREADY && container.state === CONTAINER_EXITED) || undefined;
      },
      { timeoutMs: READY_MS, signal: context.signal },
    );
  });
}

export const criHungCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: a guest that hangs keeps nobody, and its pod goes on when it does", run: hungAndThawed },
  { name: "CRI: a pod whose guest hangs is stopped and removed", run: hungAndStopped },
  { name: "CRI: a pod whose shim was killed is reported dead and removed", run: shimKilled },
];
