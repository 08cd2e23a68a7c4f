import type { LinuxHostedContainerSettings } from "@uvm-shim/hcs-schema";
import { ControllerError, codeOf, isGone, type Step } from "@uvm-shim/lifecycle";
import type { ContainerGuest, GuestContainer } from "../types.ts";

/**
 * The guest's container in two steps: its state is deleted after its root file system has been taken apart, while its
 * disks are still attached.
 */
export interface GuestContainerSteps {
  readonly state: Step;
  readonly processes: Step;
  /** Sets whether it may run without a reported exit: from the start's request until its success. */
  mayRun(mayRun: boolean): void;
  /**
   * Whether the guest has deleted the state at the first attempt, and with it everything in the container's folders.
   */
  isStateDeleted(): boolean;
  /** Throws while the guest has no container. */
  get(): GuestContainer;
}

/** Checks whether killed processes have ended; each check makes the guest scan all of its processes. */
const mostLooks = 100;

/** `settings` is called when the container is created, when all paths in it are known. */
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
 * Waits until no process is left. The guest answers a kill before the processes have ended, and the state of a running
 * container must not be deleted. After a failed start it is unknown whether the container runs.
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

/** If nothing runs, a guest lists no process or answers with an error. No answer at all proves nothing. */
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
