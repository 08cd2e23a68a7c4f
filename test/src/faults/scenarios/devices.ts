import type { CaseContext, Play } from "../scenario.ts";

/** What device controllers have in common. */
interface Devices {
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

/**
 * Users who reserve, map at the same time, give back, and in the end insist: each reservation is one user's, and some
 * are of the same device.
 */
export function sharingUsers(
  { callers }: CaseContext,
  devices: Devices,
  reserveAll: () => readonly Promise<string>[],
  leftovers: () => readonly string[],
): Play {
  let reservations: readonly string[] = [];
  return {
    async act() {
      reservations = await Promise.all(reserveAll());
      await Promise.all(reservations.map((id) => callers.attempt((signal) => devices.mapToGuest(id, signal))));
      // One goes first, so that the others' use outlives its.
      const [first = "", ...others] = reservations;
      await callers.attempt((signal) => devices.unmapFromGuest(first, signal));
      await Promise.all(others.map((id) => callers.attempt((signal) => devices.unmapFromGuest(id, signal))));
    },
    async cleanUp() {
      const ends = await Promise.allSettled(reservations.map((id) => devices.unmapFromGuest(id)));
      for (const end of ends) if (end.status === "rejected") throw end.reason;
    },
    leftovers,
  };
}
