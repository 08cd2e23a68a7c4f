/** What the cases of Kubernetes' runtime interface have in common. */
import assert from "node:assert/strict";
import type { PodConfig } from "../cri/client.ts";
import { CriPod } from "../cri/pod.ts";
import { runtime } from "../generated/messages.js";
import { READY_MS, WAIT_MS } from "../support/guest-kind.ts";
import { poll } from "../support/wait.ts";
import { classicHandler, type PodForm } from "./containerd.ts";
import { IMAGE } from "./images.ts";
import type { Case, CriCaseContext } from "./suite.ts";

export const { CONTAINER_EXITED, CONTAINER_RUNNING } = runtime.v1.ContainerState;
export const { SANDBOX_READY, SANDBOX_NOTREADY } = runtime.v1.PodSandboxState;

/** The name of a runtime's handler for pods of a form. */
export function handlerName(runtime: string, form: PodForm): string {
  switch (form) {
    case "shim":
      return runtime;
    case "containerd":
      return classicHandler(runtime);
    case "sandboxer":
      return `${runtime}-sandboxer`;
  }
}

export const makers: { readonly [form in PodForm]: string } = {
  shim: "the shim",
  containerd: "containerd",
  sandboxer: "the sandboxer",
};

/** A case for each form that a pod may have. */
export function inEachForm(
  name: string,
  run: (context: CriCaseContext, handler: string, form: PodForm) => Promise<void>,
  applies: (context: CriCaseContext) => boolean = () => true,
): Case<CriCaseContext>[] {
  return (["shim", "containerd", "sandboxer"] as const).map((form) => ({
    name: `CRI: ${name}, in pods made by ${makers[form]}`,
    applies: (context) => context.forms.includes(form) && applies(context),
    run: (context) => run(context, handlerName(context.runtime.name, form), form),
  }));
}

export async function withPod(
  context: CriCaseContext,
  work: (pod: CriPod) => Promise<void>,
  config: PodConfig = {},
  runtimeHandler: string = handlerName(context.runtime.name, context.forms[0]),
): Promise<void> {
  const { cri, scratch: directory } = context;
  const name = context.newId("pod");
  const pod = await CriPod.run({ cri, directory, name, runtimeHandler, image: IMAGE, config });
  try {
    await work(pod);
  } catch (error) {
    // What failed first is what matters.
    await pod.remove().catch(() => undefined);
    throw error;
  }
  await pod.remove();
}

const EXEC_SECONDS = WAIT_MS / 1000;

export async function execSync(context: CriCaseContext, containerId: string, cmd: readonly string[]) {
  const { stdout, stderr, exitCode } = await context.cri.call("ExecSync", { containerId, cmd, timeout: EXEC_SECONDS });
  return { status: exitCode, stdout: Buffer.from(stdout).toString(), stderr: Buffer.from(stderr).toString() };
}

export async function output(context: CriCaseContext, containerId: string, ...cmd: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await execSync(context, containerId, cmd);
  assert.equal(status, 0, `${cmd.join(" ")}: ${stderr}`);
  return stdout;
}

/** In bytes, as the container sees it. */
export async function memoryLimit(context: CriCaseContext, id: string): Promise<number> {
  const script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
  return Number(await output(context, id, "sh", "-c", script));
}

export async function containerStatus(context: CriCaseContext, containerId: string) {
  const { status } = await context.cri.call("ContainerStatus", { containerId });
  assert.ok(status !== null);
  return status;
}

export async function untilExited(context: CriCaseContext, containerId: string) {
  return await poll(
    `container ${containerId} to exit`,
    async () => {
      const status = await containerStatus(context, containerId);
      return status.state === CONTAINER_EXITED ? status : undefined;
    },
    { timeoutMs: READY_MS, signal: context.signal },
  );
}
