import type { LinuxHostedContainerSettings } from "@uvm-shim/hcs-schema";
import { ControllerError, type Step } from "@uvm-shim/lifecycle";
import type { ContainerGuest, GuestContainer } from "./types.ts";

/**
 * The guest's container in two steps: what the guest keeps of it is given back after the root file system in its
 * bundle has been taken apart, and while the disks that it lies on are still attached.
 */
export interface GuestContainerSteps {
  readonly state: Step;
  readonly processes: Step;
  /** Throws while the guest has no container. */
  get(): GuestContainer;
}

/** `settings` is asked when the container is made, when all that it names is known. */
export function guestContainerSteps(
  id: string,
  guest: ContainerGuest,
  settings: () => LinuxHostedContainerSettings,
): GuestContainerSteps {
  let container: GuestContainer | undefined;
  return {
    state: {
      name: "guest's state",
      acquire: async () => {},
      release: async (signal) => await container?.deleteState(signal),
    },
    processes: {
      name: "guest's container",
      acquire: async (signal) => {
        container = await guest.createContainer(id, settings(), signal);
      },
      release: async (signal) => await container?.terminate(signal),
    },
    get: () => {
      if (container !== undefined) return container;
      throw new ControllerError("Internal", "the guest has none yet", { operation: "look up container", id });
    },
  };
}
