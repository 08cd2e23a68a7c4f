import type { LinuxHostedContainerSettings } from "@uvm-shim/hcs-schema";
import { ControllerError, codeOf, isGone, type Step } from "@uvm-shim/lifecycle";
import type { ContainerGuest, GuestContainer } from "../types.ts";

/**
 * The guest's container in two steps: what the guest keeps of it is given back after the root file system in its
 * bundle has been taken apart, and while the disks that it lies on are still attached.
 */
export interface GuestContainerSteps {
  readonly state: Step;
  readonly processes: Step;
  /** Whether it may run without anybody being told of its end: from its start until that has succeeded. */
  mayRun(mayRun: boolean): void;
  /** Whether the guest has deleted its state at the first attempt, and so all that it had in its folders. */
  isStateDeleted(): boolean;
  /** Throws while the guest has no container. */
  get(): GuestContainer;
}

/** How often the guest is asked whether what was killed has ended; each time it looks at all processes that it has. */
const mostLooks = 100;

/** `settings` is asked when the container is made, when all that it names is known. */
export function guestContainerSteps(
  id: string,
  guest: ContainerGuest,
  settings: () => LinuxHostedContainerSettings,
): GuestContainerSteps {
  let container: GuestContainer | undefined;
  let mayRun = false;
  let deletion: "none" | "failed" | "done" = "none";
  return {
    state: {
      name: "guest's state",
      acquire: async () => {},
      async release(signal) {
        if (container === undefined) return;
        const isFirst = deletion === "none";
        deletion = "failed";
        await container.deleteState(signal);
        if (isFirst) deletion = "done";
      },
    },
    processes: {
      name: "guest's container",
      acquire: async (signal) => {
        container = await guest.createContainer(id, settings(), signal);
      },
      async release(signal) {
        if (container === undefined) return;
        await container.terminate(signal);
        if (!mayRun) return;
        await ended(container, signal);
        mayRun = false;
      },
    },
    mayRun(may) {
      mayRun = may;
    },
    isStateDeleted: () => deletion === "done",
    get: () => {
      if (container !== undefined) return container;
      throw new ControllerError("Internal", "the guest has not created it yet", { operation: "look up container", id });
    },
  };
}

/**
 * The guest answers when it has killed, which is before the end; and the state of one that runs must not be deleted. Of
 * one whose start failed nobody need have been told whether it runs.
 */
async function ended(container: GuestContainer, signal: AbortSignal | undefined): Promise<void> {
  for (let look = 0; look < mostLooks; look++) {
    if ((await processesOf(container, signal)).length === 0) return;
  }
  throw new ControllerError("FailedPrecondition", "its processes still run in the guest after a kill", {
    operation: "end container",
    id: container.id,
  });
}

/** A guest lists none, or answers with an error, where nothing runs; that it does not answer says nothing. */
async function processesOf(container: GuestContainer, signal: AbortSignal | undefined): Promise<readonly number[]> {
  try {
    return await container.processIds(signal);
  } catch (error) {
    if (isGone(error)) return [];
    const code = codeOf(error);
    if (code === "Unavailable" || code === "DeadlineExceeded" || code === "Cancelled") throw error;
    return [];
  }
}
