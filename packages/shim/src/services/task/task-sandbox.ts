/** The container of a new task, and the sandbox that it runs in: in the classic way its own, else the shim's. */

import { describeError, ShimError } from "../../errors.ts";
import type { Container, ContainerRequest, Log, Sandbox } from "../../platform.ts";
import type { RuntimeOptions } from "../../program/bootstrap.ts";
import { type BundleConfiguration, requireConfiguration, sandboxIdOf } from "../../program/bundle.ts";
import type { SandboxSlot } from "../sandbox/sandbox-slot.ts";

export interface TaskSandboxOptions {
  readonly namespace: string;
  readonly runtimeOptions?: RuntimeOptions;
  readonly slot: SandboxSlot;
  readonly log: Log;
}

export const stopMilliseconds = 10_000;

/** Makes the container, and a sandbox for it where there is none. When that fails, nothing is left of either. */
export async function createTaskContainer(
  options: TaskSandboxOptions,
  request: Omit<ContainerRequest, "spec">,
  signal: AbortSignal,
): Promise<Container> {
  const { id, bundle } = request;
  const configuration = await requireConfiguration(bundle);
  const ownsSandbox = options.slot.isEmpty;
  const sandbox = ownsSandbox
    ? await createTaskSandbox(options, { id, bundle, configuration }, signal)
    : sandboxToJoin(options.slot, id, configuration);
  try {
    const container = await sandbox.createContainer({ ...request, spec: configuration.spec }, signal);
    // Who gave up will not come back for it. In another's sandbox it can be deleted, and goes with that at the latest.
    if (ownsSandbox) signal.throwIfAborted();
    return container;
  } catch (error) {
    if (ownsSandbox) await discardSandbox(options);
    throw error;
  }
}

/** Makes and starts a sandbox for the task alone. When that fails, nothing of it is left. */
async function createTaskSandbox(
  { slot, namespace, runtimeOptions, log }: TaskSandboxOptions,
  task: { readonly id: string; readonly bundle: string; readonly configuration: BundleConfiguration },
  signal?: AbortSignal,
): Promise<Sandbox> {
  const { id, bundle } = task;
  const { annotations, spec } = task.configuration;
  const named = sandboxIdOf(annotations);
  if (named !== undefined && named !== id) {
    throw new ShimError(
      "FailedPrecondition",
      `create task ${id}: its annotations name sandbox ${named}, which this shim has not`,
    );
  }
  const options = runtimeOptions === undefined ? {} : { runtimeOptions };
  const sandbox = await slot.create(
    "classic",
    { id, namespace, bundle, spec, annotations, makesContainer: false, ...options },
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

/** The running sandbox of this shim. FailedPrecondition when there is none, or the task names another. */
function sandboxToJoin(slot: SandboxSlot, id: string, configuration: BundleConfiguration): Sandbox {
  const refuse = (why: string) => new ShimError("FailedPrecondition", `create task ${id}: ${why}`);
  const present = slot.present;
  if (present === undefined) throw refuse("the sandbox is still being created");
  const { sandbox } = present;
  const named = sandboxIdOf(configuration.annotations);
  if (named !== undefined && named !== sandbox.id) {
    throw refuse(`its annotations name sandbox ${named}; this shim has ${sandbox.id}`);
  }
  if (sandbox.state !== "running") throw refuse(`sandbox ${sandbox.id} is ${sandbox.state}, not running`);
  return sandbox;
}

/** After a failure: what it fails with itself must not hide why it was needed. `delete` tries again. */
async function discardSandbox({ slot, log }: Pick<TaskSandboxOptions, "slot" | "log">): Promise<void> {
  try {
    await slot.discard(stopMilliseconds);
  } catch (error) {
    log.log("error", "sandbox not stopped", { error: describeError(error) });
  }
}
