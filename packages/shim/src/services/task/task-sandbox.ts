/** Creates the container of a new task, and its sandbox if it does not join one. */

import type { Clock } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../../errors.ts";
import type { Container, ContainerRequest, Log, Sandbox } from "../../platform.ts";
import type { RuntimeOptions } from "../../program/bootstrap.ts";
import { type BundleConfiguration, isSandbox, requireConfiguration, sandboxIdOf } from "../../program/bundle.ts";
import type { SandboxSlot } from "../sandbox/sandbox-slot.ts";
import { SandboxTask } from "./sandbox-task.ts";

/** What makes the sandbox of a task that came without one. */
export interface TaskSandboxOptions {
  readonly namespace: string;
  readonly runtimeOptions?: RuntimeOptions;
  readonly slot: SandboxSlot;
  readonly log: Log;
  readonly clock: Clock;
}

/** How long containers have for an orderly end. */
export const stopMilliseconds = 10_000;

/** Creates the container, and a sandbox for it where there is none; leaves nothing behind on failure. */
export async function createTaskContainer(
  options: TaskSandboxOptions,
  request: Omit<ContainerRequest, "spec">,
  signal: AbortSignal,
): Promise<Container> {
  const { id, bundle, rootfs } = request;
  const configuration = await requireConfiguration(bundle);
  const ownsSandbox = options.slot.isEmpty;
  const sandbox = ownsSandbox
    ? await createTaskSandbox(options, { id, bundle, rootfs, configuration }, signal)
    : sandboxToJoin(options.slot, id, configuration);
  try {
    if (ownsSandbox && isOfItsOwn(options.slot, configuration)) return sandboxTask(options, sandbox, bundle, signal);
    const container = await sandbox.createContainer({ ...request, spec: configuration.spec }, signal);
    // Nobody would delete a sandbox whose client gave up. A container in a shared sandbox ends with that at the latest.
    if (ownsSandbox) signal.throwIfAborted();
    return container;
  } catch (error) {
    if (ownsSandbox) await discardSandbox(options);
    throw error;
  }
}

/** Whether the task of the sandbox's own id is the sandbox itself: guests of Windows need no container to hold a pod. */
function isOfItsOwn({ present }: SandboxSlot, { annotations }: BundleConfiguration): boolean {
  return present?.os === "windows" && isSandbox(annotations);
}

function sandboxTask(
  { slot, clock, log }: TaskSandboxOptions,
  sandbox: Sandbox,
  bundle: string,
  signal: AbortSignal,
): SandboxTask {
  signal.throwIfAborted();
  return new SandboxTask({ sandbox, bundle, clock, log, stop: () => slot.stopPatiently(stopMilliseconds) });
}

/** Creates and starts a sandbox for one task; leaves nothing behind on failure. */
async function createTaskSandbox(
  { slot, namespace, runtimeOptions, log }: TaskSandboxOptions,
  task: Pick<ContainerRequest, "id" | "bundle" | "rootfs"> & { readonly configuration: BundleConfiguration },
  signal?: AbortSignal,
): Promise<Sandbox> {
  const { id, bundle, rootfs } = task;
  const { annotations, spec } = task.configuration;
  const named = sandboxIdOf(annotations);
  if (named !== undefined && named !== id) {
    throw new ShimError(
      "FailedPrecondition",
      `create task ${id}: annotations name sandbox ${named}, which this shim does not have`,
    );
  }
  const options = runtimeOptions === undefined ? {} : { runtimeOptions };
  const sandbox = await slot.create(
    "classic",
    { id, namespace, bundle, spec, annotations, rootfs, makesContainer: false, ...options },
    signal,
  );
  try {
    await sandbox.start(signal);
  } catch (error) {
    await discardSandbox({ slot, log });
    throw error;
  }
  return sandbox;
}

/** Throws FailedPrecondition unless this shim has a running sandbox that the task may join. */
function sandboxToJoin(slot: SandboxSlot, id: string, configuration: BundleConfiguration): Sandbox {
  const refuse = (why: string) => new ShimError("FailedPrecondition", `create task ${id}: ${why}`);
  const present = slot.present;
  if (present === undefined) throw refuse("the sandbox is still being created");
  const { sandbox } = present;
  const named = sandboxIdOf(configuration.annotations);
  if (named !== undefined && named !== sandbox.id) {
    throw refuse(`annotations name sandbox ${named}, this shim has ${sandbox.id}`);
  }
  if (sandbox.state !== "running") throw refuse(`sandbox ${sandbox.id} is ${sandbox.state}, not running`);
  return sandbox;
}

/** Only logs its own failure, which must not hide the original one; `delete` tries again. */
async function discardSandbox({ slot, log }: Pick<TaskSandboxOptions, "slot" | "log">): Promise<void> {
  try {
    await slot.discard(stopMilliseconds);
  } catch (error) {
    log.log("error", "cannot stop the sandbox", { error: describeError(error) });
  }
}
