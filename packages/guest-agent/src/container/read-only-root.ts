/** Root file systems that are read-only whatever the specification says: read-only shares and layers. */
import { accessSync, constants } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import { existsInRoot, mountsAbove } from "./path-in-root.ts";

/**
 * Declares a root that is read-only as read-only: some runtimes mount it again, and writable by default. Throws a
 * GuestFault if a mount point is missing in such a root, which the runtime cannot make either.
 */
export function withReadOnlyRoot(spec: OciSpec): OciSpec {
  const { root, mounts = [] } = spec;
  if (root === undefined || isWritable(root.path)) return spec;
  const above = mountsAbove(mounts);
  for (const [index, { destination }] of mounts.entries()) {
    if (above[index] !== undefined || existsInRoot(root.path, destination)) continue;
    throw new GuestFault(
      "E_FAIL",
      `OciSpecification.mounts[${index}].destination: cannot make mount point ${destination}: the root file system is read-only`,
    );
  }
  return { ...spec, root: { ...root, readonly: true } };
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch (error) {
    // The runtime reports a missing root.
    return (error as NodeJS.ErrnoException).code !== "EROFS";
  }
}
