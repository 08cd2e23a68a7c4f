/** Root file systems that cannot be written to, whatever the specification says: read-only shares and layers. */
import { accessSync, constants } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import { existsInRoot, mountsAbove } from "./path-in-root.ts";

/**
 * The specification with its root declared read-only where it is: some runtimes mount it anew, writable if nobody says
 * so. Throws a GuestFault where a mount has no place in such a root, which a runtime must not make either.
 */
export function withReadOnlyRoot(spec: OciSpec): OciSpec {
  const { root, mounts = [] } = spec;
  if (root === undefined || isWritable(root.path)) return spec;
  const above = mountsAbove(mounts);
  for (const [index, { destination }] of mounts.entries()) {
    if (above[index] !== undefined || existsInRoot(root.path, destination)) continue;
    throw new GuestFault(
      "E_FAIL",
      `OciSpecification.mounts[${index}].destination is ${destination}, which the root file system does not have, and since it is read-only it cannot be made`,
    );
  }
  return { ...spec, root: { ...root, readonly: true } };
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch (error) {
    // A root that is missing is the runtime's to complain about.
    return (error as NodeJS.ErrnoException).code !== "EROFS";
  }
}
