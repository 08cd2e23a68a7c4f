import { abortable, type Clock, withDeadline } from "@uvm-shim/lifecycle";
import { HcsFailure } from "../../hcs-failure.ts";
import type { QmpClient } from "../qmp/qmp-client.ts";
import { QmpError } from "../qmp/qmp-error.ts";

/** How long devices have to be let go. */
export interface Patience {
  readonly clock: Clock;
  /** Milliseconds that a guest has to let go of a device. */
  readonly unplugTimeoutMs: number;
}

const usePollMs = 20;
/** What QEMU itself still has to do with a node after its device has gone takes milliseconds. */
const useAttempts = 100;

/**
 * Removes a device, and waits until the guest has let go of it. After a failure the device is still there, and this can be
 * repeated.
 */
export async function unplug(client: QmpClient, id: string, { clock, unplugTimeoutMs }: Patience): Promise<void> {
  const stop = new AbortController();
  const deletion = client.awaitEvent(({ name, data }) => name === "DEVICE_DELETED" && data.device === id, stop.signal);
  deletion.catch(() => {});
  const error = (): Error =>
    new HcsFailure(
      "HCS_E_OPERATION_TIMEOUT",
      `the guest did not let go of device ${id} within ${unplugTimeoutMs} ms: is it frozen, or still booting?`,
    );
  try {
    if (await isGone(client, id)) return;
    await withDeadline((until) => abortable(deletion, until), { clock, milliseconds: unplugTimeoutMs, error });
  } finally {
    stop.abort();
  }
}

/** Asks for the device's removal; whether it had gone before, as after a request that the guest was slow to heed. */
async function isGone(client: QmpClient, id: string): Promise<boolean> {
  try {
    await client.execute("device_del", { id });
  } catch (error) {
    if (!(error instanceof QmpError)) throw error;
    if (error.errorClass === "DeviceNotFound") return true;
    // QEMU has no class of its own for this.
    if (!error.description.includes("already in the process of unplug")) throw error;
  }
  return false;
}

/** Removes a block node, which for a moment may still be in use by the device that has gone. */
export async function removeNode(client: QmpClient, node: string, clock: Clock): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.execute("blockdev-del", { "node-name": node });
      return;
    } catch (error) {
      const isInUse = error instanceof QmpError && error.description.endsWith("is in use");
      if (!isInUse || attempt === useAttempts) throw error;
    }
    await clock.delay(usePollMs);
  }
}
