import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { LinuxVpciDevice } from "@uvm-shim/hcs-schema";
import { assignedDeviceFolder, declarationName } from "./devices.ts";

/** How long a device that the host has assigned may take to appear. */
const appearanceTimeoutMs = 5000;
const pollMs = 10;

export interface AppearanceTiming {
  readonly timeoutMs: number;
  exists(path: string): boolean;
}

/** Resolves when the guest has the device. Throws a GuestFault when it has not come in time. */
export async function waitForAssignedDevice(
  { VMBusGUID: guid }: LinuxVpciDevice,
  signal: AbortSignal,
  { timeoutMs, exists }: AppearanceTiming = { timeoutMs: appearanceTimeoutMs, exists: existsSync },
): Promise<void> {
  const folder = assignedDeviceFolder(guid);
  for (let waited = 0; !exists(`${folder}/${declarationName}`); waited += pollMs) {
    if (waited >= timeoutMs) {
      throw new GuestFault("ERROR_FILE_NOT_FOUND", `device ${folder} has not appeared within ${timeoutMs} ms`);
    }
    await delay(pollMs, undefined, { signal });
  }
}
