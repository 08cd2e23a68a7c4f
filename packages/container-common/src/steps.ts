import { abortable, type Step, unlessGone } from "@uvm-shim/lifecycle";

/** A device of the VM, by the two halves of its controller. */
export interface MappedDevice {
  /** Returns its name in the guest. */
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

/**
 * A step that reserves a device and maps it into the guest. Its release unmaps what was reserved, whether or not the
 * mapping was answered. `onMapped` gets the device's name in the guest.
 */
export function reservedStep(
  name: string,
  device: MappedDevice,
  reserve: (signal?: AbortSignal) => Promise<string>,
  onMapped: (nameInGuest: string) => void,
): Step {
  let reservation: string | undefined;
  return {
    name,
    async acquire(signal) {
      reservation = await reserve(signal);
      onMapped(await device.mapToGuest(reservation, signal));
    },
    async release(signal) {
      if (reservation === undefined) return;
      await device.unmapFromGuest(reservation, signal);
      reservation = undefined;
    },
  };
}

/** A resource that ends with the VM: once the VM is gone it counts as released, and a waiting release stops waiting. */
export function vmBound(step: Step, vmGone: AbortSignal): Step {
  return {
    name: step.name,
    acquire: (signal) => step.acquire(signal),
    release: async (signal) => {
      if (vmGone.aborted) return;
      try {
        await abortable(step.release(signal), vmGone);
      } catch (error) {
        if (!vmGone.aborted) throw error;
      }
    },
  };
}

/** The same steps; while one fails to release, the steps before it fail with its error and stay as they are. */
export function inStrictOrder(steps: readonly Step[]): readonly Step[] {
  const failures = new Map<number, unknown>();
  return steps.map((step, index) => ({
    name: step.name,
    acquire: (signal) => step.acquire(signal),
    async release(signal) {
      for (const [later, error] of failures) if (later > index) throw error;
      try {
        await unlessGone(() => step.release(signal));
        failures.delete(index);
      } catch (error) {
        failures.set(index, error);
        throw error;
      }
    },
  }));
}
