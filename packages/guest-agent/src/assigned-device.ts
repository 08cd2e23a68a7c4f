import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { LinuxVpciDevice } from "@uvm-shim/hcs-schema";
import { assignedDeviceFolder, declarationName } from "./devices.ts";

const pollMs = 10;

/**
 * Resolves when the guest has the device. There is no end to that, as the real guest has none: a host that asks for a
 * device which never comes is not answered.
 */
export async function waitForAssignedDevice(
  { VMBusGUID: guid }: LinuxVpciDevice,
  signal: AbortSignal,
  exists: (path: string) => boolean = existsSync,
): Promise<void> {
  const folder = assignedDeviceFolder(guid);
  while (!exists(`${folder}/${declarationName}`)) await delay(pollMs, undefined, { signal });
}
