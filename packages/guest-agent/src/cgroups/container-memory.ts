/** The memory of all containers together, which follows the VM's. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";

/** What is kept for the guest itself, as in the reference's guest. */
const reservedBytes = 75 * 2 ** 20;

/**
 * What containers may have of so much memory: all but the guest's own part, which is at most half. Whole pages, since
 * the kernel rounds.
 */
export function containerMemoryOf(totalBytes: number): number {
  const left = Math.max(totalBytes - reservedBytes, totalBytes / 2);
  return Math.floor(left / 4096) * 4096;
}

/**
 * Limits the group of all containers to what the VM has now, and answers with the bytes; undefined where the kernel
 * has no memory controller. `machineBytes` is what the kernel sees as the machine's memory, of which a process guest
 * has the part that its own cgroup says. Throws a GuestFault when containers use more and can give back too little.
 */
export function limitContainerMemory(root: string, group: string, machineBytes: number): number | undefined {
  const place = memoryController(root);
  if (place === undefined) return undefined;
  const [base, limitFile] = place;
  // Version 2 has no limit on the root of a machine, and version 1 one that nobody set.
  const own = existsSync(join(base, limitFile)) ? readFileSync(join(base, limitFile), "utf8").trim() : "max";
  const limit = containerMemoryOf(own === "max" ? machineBytes : Math.min(Number(own), machineBytes));
  const folder = join(base, group);
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(join(folder, limitFile), String(limit));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EBUSY") throw cause;
    throw new GuestFault(
      "E_OUTOFMEMORY",
      `containers use more than ${limit} bytes of memory, which is to be their limit`,
      {
        cause,
      },
    );
  }
  return limit;
}

/** The root of the hierarchy that has the memory controller, and the name of its limits. */
function memoryController(root: string): readonly [base: string, limitFile: string] | undefined {
  const controllers = join(root, "cgroup.controllers");
  if (existsSync(controllers)) {
    return readFileSync(controllers, "utf8").trim().split(" ").includes("memory") ? [root, "memory.max"] : undefined;
  }
  const v1 = join(root, "memory");
  return existsSync(v1) ? [v1, "memory.limit_in_bytes"] : undefined;
}
