import { abortable, type Clock, ControllerError, codeOf, isGone, type Step, withDeadline } from "@uvm-shim/lifecycle";
import type { ContainerGuest, GuestContainer } from "../types.ts";

/** How long the guest may take to end a container, as with microsoft/hcsshim. */
export const endsWithin = 30_000;

/** The guest's container in two steps: its state is deleted last, when all that it used has been released. */
export interface GuestContainerSteps {
  readonly state: Step;
  readonly container: Step;
  /** Throws while the guest has no container. */
  get(): GuestContainer;
}

/** `settings` is called when the container is created, when all paths in it are known. */
export function guestContainerSteps(
  id: string,
  guest: ContainerGuest,
  settings: () => object,
  clock: Clock,
): GuestContainerSteps {
  let container: GuestContainer | undefined;
  let hasEnded = false;
  return {
    state: {
      name: "guest's state",
      acquire: async () => {},
      async release(signal) {
        if (container === undefined) return;
        if (!hasEnded) throw notEnded(id, "its state cannot be deleted before");
        await container.deleteState(signal);
      },
    },
    container: {
      name: "guest's container",
      acquire: async (signal) => {
        const created = await guest.createContainer(id, settings(), signal);
        container = created;
        void created.exited.then(() => {
          hasEnded = true;
        });
      },
      async release(signal) {
        if (container === undefined || hasEnded) return;
        await container.terminate(signal);
        await untilEnded(container, clock, signal);
        hasEnded = true;
      },
    },
    get: () => {
      if (container !== undefined) return container;
      throw new ControllerError("Internal", "the guest has not created it yet", { operation: "look up container", id });
    },
  };
}

/** Resolves when the container has ended. The guest may never report the end of one in which nothing runs. */
async function untilEnded(container: GuestContainer, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  try {
    await withDeadline((until) => abortable(container.exited, until), { clock, milliseconds: endsWithin, signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (await mayRun(container, signal)) {
      throw notEnded(container.id, `not within ${endsWithin} ms of its termination`, error);
    }
  }
}

/** If nothing runs, a guest lists no process or answers with an error. No answer at all proves nothing. */
async function mayRun(container: GuestContainer, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    return (await container.processes(signal)).length > 0;
  } catch (error) {
    const code = codeOf(error);
    return !isGone(error) && (code === "Unavailable" || code === "DeadlineExceeded" || code === "Cancelled");
  }
}

function notEnded(id: string, message: string, cause?: unknown): ControllerError {
  const details = { operation: "end container", id, cause };
  return new ControllerError("DeadlineExceeded", `the guest's container has not ended: ${message}`, details);
}

/** Asks the container to end. False if it has not ended in time, or will not. */
export async function shutDown(container: GuestContainer, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const work = async (until: AbortSignal): Promise<void> => {
    await abortable(container.shutdown(until), until);
    await abortable(container.exited, until);
  };
  try {
    await withDeadline(work, { clock, milliseconds: endsWithin, signal });
    return true;
  } catch {
    return false;
  }
}
