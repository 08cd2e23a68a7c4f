/** What is left of pods that have ended, until a kubelet removes them. */
import assert from "node:assert/strict";
import { CriPod } from "../../cri/pod.ts";
import { besideBusyProcesses, CROWD } from "../../support/crowd.ts";
import { patient, READY_MS } from "../../support/guest-kind.ts";
import { findServers } from "../../support/servers.ts";
import { poll } from "../../support/wait.ts";
import {
  CONTAINER_EXITED,
  containerStatus,
  handlerName,
  inEachForm,
  SANDBOX_NOTREADY,
  untilExited,
  withPod,
} from "../cri-case.ts";
import { IMAGE } from "../images.ts";
import { servingShims } from "../machine.ts";
import type { Case, CriCaseContext } from "../suite.ts";

/** What a kubelet asks of a completed pod, for as long as it keeps it. */
async function toldCompleted(context: CriCaseContext, podSandboxId: string, containerId: string): Promise<void> {
  const { cri } = context;
  const { status } = await cri.call("PodSandboxStatus", { podSandboxId });
  assert.equal(status?.state, SANDBOX_NOTREADY);
  const { items } = await cri.call("ListPodSandbox", { filter: { id: podSandboxId } });
  assert.deepEqual(
    items.map(({ id, state }) => [id, state]),
    [[podSandboxId, SANDBOX_NOTREADY]],
  );
  const { state, exitCode } = await containerStatus(context, containerId);
  assert.deepEqual([state, exitCode], [CONTAINER_EXITED, 3]);
  // Of the node as a whole, which one pod without a shim must not spoil.
  await cri.call("ListContainerStats", {});
  await cri.call("ListPodSandboxStats", {});
}

async function completedPod(context: CriCaseContext): Promise<void> {
  const { cri, containerd, runtime, signal } = context;
  await withPod(context, async (pod) => {
    const id = await pod.run("job", ["sh", "-c", "echo done; exit 3"]);
    await untilExited(context, id);
    const [shim] = servingShims(runtime, pod.id);
    assert.ok(shim !== undefined);
    await cri.call("StopPodSandbox", { podSandboxId: pod.id });
    await toldCompleted(context, pod.id, id);
    await poll("the shim to end", async () => (servingShims(runtime, pod.id).length === 0 ? true : undefined), {
      ...{ timeoutMs: READY_MS, signal },
    });
    // containerd says nothing of the pod while it cleans up after the process.
    await poll(
      "containerd to take notice",
      async () => await cri.call("PodSandboxStatus", { podSandboxId: pod.id }).catch(() => undefined),
      { timeoutMs: READY_MS, signal },
    );
    await toldCompleted(context, pod.id, id);
    await containerd.stop();
    await containerd.start(signal);
    await toldCompleted(context, pod.id, id);
    for (let time = 0; time < 2; time++) await cri.call("StopPodSandbox", { podSandboxId: pod.id });
    assert.equal(pod.logged("job").stdout, "done\n");
    await cri.call("RemoveContainer", { containerId: id });
  });
  const { items } = await cri.call("ListPodSandbox", {});
  assert.deepEqual(items, []);
}

const CROWD_CALL_MS = patient(110_000);
/** What the log says of a guest that was given up, and of a call that was. */
const EXPIRED =
  /the guest does not answer|the guest has not answered|DeadlineExceeded|not done within|has not answered within|did not answer within/;

async function crowd(context: CriCaseContext): Promise<void> {
  const { cri, containerd, runtime, scratch: directory } = context;
  const handlers = context.forms.map((form) => handlerName(runtime.name, form));
  const left = new Set<CriPod>();
  const pods: { readonly pod: CriPod; readonly id: string }[] = [];
  try {
    for (let count = 0; count < CROWD.pods; count++) {
      const name = context.newId("pod");
      const pod = await CriPod.run({
        cri,
        directory,
        name,
        runtimeHandler: handlers[count % handlers.length] as string,
        image: IMAGE,
      });
      left.add(pod);
      pods.push({ pod, id: await pod.run("long", ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]) });
    }
    const logged = containerd.log().length;
    await besideBusyProcesses(async () => {
      let isDone = false;
      const measure = async (): Promise<void> => {
        while (!isDone) await cri.call("ListContainerStats", {}, { timeoutMs: CROWD_CALL_MS });
      };
      const end = async ({ pod, id }: (typeof pods)[number]): Promise<void> => {
        await cri.call("StopContainer", { containerId: id, timeout: 30 }, { timeoutMs: CROWD_CALL_MS });
        assert.equal((await containerStatus(context, id)).exitCode, 0);
        await cri.call("StopPodSandbox", { podSandboxId: pod.id }, { timeoutMs: CROWD_CALL_MS });
        await pod.remove();
        left.delete(pod);
      };
      const measuring = measure();
      await Promise.all(pods.map(end)).finally(() => {
        isDone = true;
      });
      await measuring;
    });
    const expired = containerd
      .log()
      .slice(logged)
      .split("\n")
      .filter((line) => EXPIRED.test(line));
    assert.deepEqual(expired, []);
  } finally {
    for (const pod of left) await pod.remove();
  }
}

async function killedGuest(context: CriCaseContext, handler: string): Promise<void> {
  const { cri, signal } = context;
  const work = async (pod: CriPod): Promise<void> => {
    const ids: string[] = [];
    for (const name of ["a", "b", "c"]) ids.push(await pod.run(name, ["sleep", "1000"]));
    process.kill(findServers()["guest agent"], "SIGKILL");
    await poll(
      "the pod and its containers to be reported dead",
      async () => {
        const { containers } = await cri.call("ListContainers", { filter: { podSandboxId: pod.id } });
        const { items } = await cri.call("ListPodSandbox", { filter: { id: pod.id } });
        return containers.every(({ state }) => state === CONTAINER_EXITED) && items[0]?.state === SANDBOX_NOTREADY
          ? true
          : undefined;
      },
      { timeoutMs: READY_MS, signal },
    );
    await assert.rejects(pod.run("late", ["true"]));
    for (const id of ids) assert.notEqual((await untilExited(context, id)).exitCode, 0);
  };
  await withPod(context, work, {}, handler);
}

export const criEndCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: a completed pod keeps no shim, and is listed, kept and removed without it", run: completedPod },
  { name: "CRI: pods deleted at once beside busy processes end in order, and no bound expires", run: crowd },
  ...inEachForm("a pod whose guest is killed is reported dead with its containers, and starts no other", killedGuest),
];
