/** Pods of a sandboxer that keeps VMs ready. Each case has a sandboxer of its own, and its VMs are gone with it. */
import assert from "node:assert/strict";
import type { PodConfig } from "../../cri/client.ts";
import { CriPod } from "../../cri/pod.ts";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { handlerName, output, SANDBOX_NOTREADY, withPod } from "../cri-case.ts";
import { IMAGE } from "../images.ts";
import type { Case, CriCaseContext } from "../suite.ts";
import { undefinedIfUnavailable } from "./cri-sandboxer.ts";
import { sandboxerOf } from "./ctr.ts";

export const READY_VMS = 2;
const BURST = 8;

/** Lines of the sandboxer's log with a message. */
function logged(context: CriCaseContext, message: string): readonly string[] {
  const lines = sandboxerOf(context).log().split("\n");
  return lines.filter((line) => line.includes(`msg="${message}"`));
}

async function untilFull(context: CriCaseContext, times: number): Promise<void> {
  const isFull = (): true | undefined => logged(context, "warm pool is full").length >= times || undefined;
  await poll("the pool to be full", isFull, { timeoutMs: READY_MS, signal: context.signal });
}

async function runs(context: CriCaseContext, config: PodConfig = {}): Promise<void> {
  await withPod(
    context,
    async (pod) => {
      const container = await pod.run("main", ["sleep", "100000"]);
      assert.equal(await output(context, container, "hostname"), `${pod.config.hostname}\n`);
    },
    config,
  );
}

async function taken(context: CriCaseContext): Promise<void> {
  await untilFull(context, 1);
  await runs(context);
  const [line, ...more] = logged(context, "took a VM that was ready");
  assert.ok(line !== undefined && more.length === 0, `one pod, and it took ${more.length + 1} VMs`);
  const vm = /vm=(ready-\S+@vm)/.exec(line)?.[1] ?? "";
  await untilFull(context, 2);
  // A VM that a pod has had is nobody else's.
  await runs(context);
  const other = logged(context, "took a VM that was ready").at(-1) ?? "";
  assert.ok(!other.includes(vm), other);
}

async function differs(context: CriCaseContext): Promise<void> {
  await untilFull(context, 1);
  await runs(context, { annotations: { "io.microsoft.virtualmachine.computetopology.processor.count": "1" } });
  assert.match(
    logged(context, "boots a VM of its own").at(-1) ?? "",
    /why=".*KernelCmdLine differs from that of the VMs that are ready"/,
  );
  assert.deepEqual(logged(context, "took a VM that was ready"), []);
}

async function burst(context: CriCaseContext): Promise<void> {
  await untilFull(context, 1);
  await Promise.all(Array.from({ length: BURST }, () => runs(context)));
  const counts = ["took a VM that was ready", "boots a VM of its own"].map(
    (message) => logged(context, message).length,
  );
  assert.equal(counts[0] !== undefined && counts[0] >= READY_VMS, true, `${counts[0]} took a VM`);
  assert.equal((counts[0] ?? 0) + (counts[1] ?? 0), BURST);
  assert.deepEqual((await context.cri.call("ListPodSandbox", {})).items, []);
}

async function killed(context: CriCaseContext): Promise<void> {
  const { cri, scratch: directory, runtime, signal } = context;
  const sandboxer = sandboxerOf(context);
  await untilFull(context, 1);
  const name = context.newId("pod");
  const runtimeHandler = handlerName(runtime.name, "sandboxer");
  const lost = await CriPod.run({ cri, directory, name, runtimeHandler, image: IMAGE });
  await sandboxer.stop("SIGKILL");
  await sandboxer.start(signal);
  await untilFull(context, 1);
  await poll(
    "the pod to be lost",
    async () => {
      const answer = await cri.call("PodSandboxStatus", { podSandboxId: lost.id }).catch(undefinedIfUnavailable);
      return answer?.status?.state === SANDBOX_NOTREADY || undefined;
    },
    { timeoutMs: READY_MS, signal },
  );
  await lost.remove();
  await runs(context);
  assert.equal(logged(context, "took a VM that was ready").length, 1);
}

export const warmPoolCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: a pod takes a VM that was ready, another is booted, and none is used twice", run: taken },
  { name: "CRI: a pod whose VM has to be another boots its own beside two that are ready", run: differs },
  { name: "CRI: eight pods at once with two VMs ready", run: burst },
  { name: "CRI: a sandboxer that is killed with two VMs ready, and starts again", run: killed },
];
