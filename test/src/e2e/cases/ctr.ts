import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type CommandResult, describe, type RunningCommand } from "@uvm-shim/test-support/command";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { IMAGE } from "../images.ts";
import { servingShims } from "../machine.ts";
import type { SandboxerProcess } from "../sandboxer.ts";
import type { CaseContext } from "../suite.ts";

export interface RunOptions {
  readonly id: string;
  readonly command: readonly string[];
  readonly image?: string;
  /** Further flags of ctr run. */
  readonly flags?: readonly string[];
}

export function runArguments(context: CaseContext, options: RunOptions): string[] {
  const { id, command, image = IMAGE, flags = [] } = options;
  return ["run", "--runtime", context.runtime.name, ...(context.joining ?? []), ...flags, image, id, ...command];
}

/** Runs a container in the foreground to its end, and removes it. */
export function runContainer(
  context: CaseContext,
  options: RunOptions & { readonly input?: Uint8Array },
): Promise<CommandResult> {
  const flags = ["--rm", ...(options.flags ?? [])];
  return context.containerd.ctr(runArguments(context, { ...options, flags }), {
    signal: context.signal,
    ...(options.input && { input: options.input }),
  });
}

/** Starts a container in the foreground. */
export function startContainer(context: CaseContext, options: RunOptions): RunningCommand {
  const flags = ["--rm", ...(options.flags ?? [])];
  return context.containerd.startCtr(runArguments(context, { ...options, flags }), { signal: context.signal });
}

/** Has a container running for the time of some work, and removes it whatever becomes of the work. */
export async function withDetached(
  context: CaseContext,
  options: Partial<RunOptions>,
  work: (id: string) => Promise<void>,
): Promise<void> {
  const id = options.id ?? context.newId("detached");
  const flags = ["--detach", ...(options.flags ?? [])];
  const command = options.command ?? ["sleep", "1000"];
  await context.containerd.mustCtr(runArguments(context, { ...options, id, command, flags }), {
    signal: context.signal,
  });
  try {
    await work(id);
  } finally {
    await removeContainer(context, id);
  }
}

/** Kills a container's task, if it has one, and removes both. */
export async function removeContainer(context: CaseContext, id: string): Promise<void> {
  if ((await taskStatus(context, id)) !== undefined) {
    await context.containerd.ctr(["task", "kill", "--signal", "SIGKILL", id]);
    await waitForStatus(context, id, "STOPPED");
    const deleted = await context.containerd.ctr(["task", "delete", id]);
    // ctr 1.6 exits with the task's own exit code.
    assert.equal(
      await taskStatus(context, id),
      undefined,
      `the task is there after its deletion: ${describe(deleted)}`,
    );
  }
  await context.containerd.mustCtr(["container", "delete", id]);
}

/** What `ctr task list` shows for a container: RUNNING, STOPPED and so on; undefined when it has no task. */
export async function taskStatus(context: CaseContext, id: string): Promise<string | undefined> {
  const listing = await context.containerd.mustCtr(["task", "list"]);
  const row = listing.split("\n").map((line) => line.trim().split(/\s+/));
  return row.find((columns) => columns[0] === id)?.[2];
}

export async function waitForStatus(context: CaseContext, id: string, status: string | undefined): Promise<void> {
  await poll(
    `task ${id} to be ${status ?? "gone"}`,
    async () => ((await taskStatus(context, id)) === status ? true : undefined),
    { timeoutMs: READY_MS, signal: context.signal },
  );
}

/** Runs a further process in a container. */
export function exec(
  context: CaseContext,
  id: string,
  command: readonly string[],
  options: { readonly input?: Uint8Array } = {},
): Promise<CommandResult> {
  const args = ["task", "exec", "--exec-id", context.newId("exec"), id, ...command];
  return context.containerd.ctr(args, { signal: context.signal, ...options });
}

export function assertStatus(result: CommandResult, status: number): void {
  assert.equal(result.status, status, describe(result));
}

/** The sandboxer, in rounds that have one. */
export function sandboxerOf({ sandboxer }: CaseContext): SandboxerProcess {
  assert.ok(sandboxer !== undefined);
  return sandboxer;
}

/** Whether each pod has a process of its own, with which it can be ended. */
export function hasOwnShims({ sandboxer }: CaseContext): boolean {
  return sandboxer === undefined;
}

/** The process that serves a container: the shim's, which outlives its short-lived callers, or the sandboxer. */
export function servingShim(context: CaseContext, id: string): number {
  const own = servingShims(context.runtime, id);
  if (context.sandboxer !== undefined) {
    assert.deepEqual(own, [], `a process of its own serves ${id}`);
    return hostOf(context, context.sandboxer, id);
  }
  const [pid, ...more] = own;
  assert.ok(pid !== undefined && more.length === 0, `one process should serve ${id}, not ${[pid, ...more].join(", ")}`);
  return pid;
}

/** The sandboxer, after a look at what the bundle of a pod, or of a container in one, says. */
function hostOf({ containerd }: CaseContext, sandboxer: SandboxerProcess, id: string): number {
  const plugins = ["io.containerd.runtime.v2.task", "io.containerd.sandbox.controller.v1.shim"];
  const folders = [...plugins.map((plugin) => join(containerd.state, plugin)), sandboxer.state];
  const files = folders.map((folder) => join(folder, containerd.namespace, id, "uvm-shim.json"));
  const states = files.filter((file) => existsSync(file)).map((file) => readFileSync(file, "utf8"));
  const { pid } = sandboxer;
  assert.match(states.join(", "), new RegExp(`"kind":"hosted".*"pid":${pid},`), `the sandboxer does not serve ${id}`);
  return pid;
}

/** Runs some work and says how long it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly milliseconds: number }> {
  const started = performance.now();
  const result = await work();
  return { result, milliseconds: performance.now() - started };
}
