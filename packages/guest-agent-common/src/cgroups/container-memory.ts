/** The common memory limit of all containers, which follows the VM's memory. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";

/** Reserved for the guest itself, as in the real guest. */
const reservedBytes = 75 * 2 ** 20;

/**
 * The part of the memory that containers may use: all but the guest's own part, which is at most half. In whole pages,
 * since the kernel rounds.
 */
export function containerMemoryOf(totalBytes: number): number {
  const left = Math.max(totalBytes - reservedBytes, totalBytes / 2);
  return Math.floor(left / 4096) * 4096;
}

/**
 * Limits the group of all containers by the VM's current memory, and returns the limit; undefined if the kernel has no
 * memory controller. `machineBytes` is the memory of the machine, of which a process guest has only what its own cgroup
 * allows. Throws a GuestFault if containers use more and cannot release enough.
 */
export function limitContainerMemory(root: string, group: string, machineBytes: number): number | undefined {
  const place = memoryController(root);
  if (place === undefined) return undefined;
  const [base, limitFile] = place;
  // The root group has no limit in version 2, and the greatest number in version 1.
  const own = existsSync(join(base, limitFile)) ? readFileSync(join(base, limitFile), "utf8").trim() : "max";
  const limit = containerMemoryOf(own === "max" ? machineBytes : Math.min(Number(own), machineBytes));
  const folder = join(base, group);
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(join(folder, limitFile), String(limit));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EBUSY") throw cause;
    throw new GuestFault("E_OUTOFMEMORY", `cannot limit the containers to ${limit} bytes of memory: they use more`, {
      cause,
    });
  }
  return limit;
}

/** The root of the hierarchy with the memory controller, and the name of its limit file. */
function memoryController(root: string): readonly [base: string, limitFile: string] | undefined {
  const controllers = join(root, "cgroup.controllers");
  if (existsSync(controllers)) {
    return readFileSync(controllers, "utf8").trim().split(" ").includes("memory") ? [root, "memory.max"] : undefined;
  }
  const v1 = join(root, "memory");
  return existsSync(v1) ? [v1, "memory.limit_in_bytes"] : undefined;
}
