/** Many pods, and one process that serves them. */
import assert from "node:assert/strict";
import { status as grpcStatus, type ServiceError } from "@grpc/grpc-js";
import { CriPod } from "../../cri/pod.ts";
import { patient, READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import {
  CONTAINER_EXITED,
  CONTAINER_RUNNING,
  containerStatus,
  handlerName,
  output,
  SANDBOX_NOTREADY,
  SANDBOX_READY,
  untilExited,
} from "../cri-case.ts";
import { IMAGE } from "../images.ts";
import type { Case, CriCaseContext } from "../suite.ts";
import { sandboxerOf } from "./ctr.ts";

/** At once on two processors, beside containerd and the emulated host. */
const MANY_MS = patient(120_000);

interface RunningPod {
  readonly pod: CriPod;
  readonly container: string;
}

async function runPod(context: CriCaseContext): Promise<RunningPod> {
  const { cri, scratch: directory, runtime } = context;
  const name = context.newId("pod");
  const runtimeHandler = handlerName(runtime.name, "sandboxer");
  const pod = await CriPod.run({ cri, directory, name, runtimeHandler, image: IMAGE, timeoutMs: MANY_MS });
  try {
    return { pod, container: await pod.run("main", ["sh", "-c", "echo started; exec sleep 100000"]) };
  } catch (error) {
    await pod.remove().catch(() => undefined);
    throw error;
  }
}

/** Runs so many pods at once, with one container each; all are removed when the work has ended. */
async function withPods(
  context: CriCaseContext,
  count: number,
  work: (pods: readonly RunningPod[]) => Promise<void>,
): Promise<void> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, () => runPod(context)));
  const pods = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  try {
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [String(outcome.reason)] : []));
    assert.deepEqual(failures, [], "pods that did not run");
    await work(pods);
  } catch (error) {
    // What failed first is what matters.
    await Promise.allSettled(pods.map(({ pod }) => pod.remove()));
    throw error;
  }
  await Promise.all(pods.map(({ pod }) => pod.remove()));
}

async function fifty(context: CriCaseContext): Promise<void> {
  await withPods(context, 50, async (pods) => {
    await Promise.all(
      pods.map(async ({ pod, container }) => {
        assert.equal(await output(context, container, "hostname"), `${pod.config.hostname}\n`);
      }),
    );
  });
  assert.deepEqual((await context.cri.call("ListPodSandbox", {})).items, []);
}

async function containerdRestarts(context: CriCaseContext): Promise<void> {
  const { cri, containerd, signal } = context;
  await withPods(context, 20, async (pods) => {
    await containerd.stop();
    await containerd.start(signal);
    await untilStates(context, pods, SANDBOX_READY, CONTAINER_RUNNING);
    for (const { container } of pods) assert.equal(await output(context, container, "echo", "again"), "again\n");
    const [first] = pods;
    assert.ok(first !== undefined);
    await cri.call("StopContainer", { containerId: first.container, timeout: 0 });
    assert.equal((await untilExited(context, first.container)).exitCode, 137);
  });
}

async function untilStates(
  context: CriCaseContext,
  pods: readonly RunningPod[],
  podState: number,
  containerState: number,
): Promise<void> {
  const { cri, signal } = context;
  const ids = new Set(pods.map(({ pod }) => pod.id));
  await poll(
    `${pods.length} pods to be in state ${podState}, and their containers in ${containerState}`,
    async () => {
      try {
        const { items } = await cri.call("ListPodSandbox", {});
        const { containers } = await cri.call("ListContainers", {});
        const hasPods = items.filter(({ id, state }) => ids.has(id) && state === podState).length === ids.size;
        const isIn = containers.filter(({ state }) => state === containerState).length === pods.length;
        return hasPods && isIn ? true : undefined;
      } catch {
        // It accepts calls before it answers them.
        return undefined;
      }
    },
    { timeoutMs: MANY_MS, signal },
  );
}

async function killed(context: CriCaseContext): Promise<void> {
  const sandboxer = sandboxerOf(context);
  await withPods(context, 20, async (pods) => {
    await sandboxer.stop("SIGKILL");
    await sandboxer.start(context.signal);
    // Beside those that are being ended, as soon as containerd dials again.
    const fresh = await poll("containerd to find the sandboxer", () => runPod(context).catch(undefinedIfUnavailable), {
      ...{ timeoutMs: READY_MS, signal: context.signal },
    });
    assert.equal(await output(context, fresh.container, "echo", "new"), "new\n");
    await fresh.pod.remove();
    await untilStates(context, pods, SANDBOX_NOTREADY, CONTAINER_EXITED);
    for (const { container } of pods) assert.notEqual((await containerStatus(context, container)).exitCode, 0);
  });
}

/** containerd's own client waits before it dials again. */
export function undefinedIfUnavailable(error: ServiceError): undefined {
  if (error.code !== grpcStatus.UNAVAILABLE) throw error;
  return undefined;
}

export const criSandboxerCases: readonly Case<CriCaseContext>[] = [
  {
    name: "CRI: fifty pods of one sandboxer at once, an exec in each, and nothing left",
    run: fifty,
  },
  { name: "CRI: containerd restarts with twenty pods of a sandboxer", run: containerdRestarts },
  { name: "CRI: a sandboxer that is killed with twenty pods, and starts again", run: killed },
];
