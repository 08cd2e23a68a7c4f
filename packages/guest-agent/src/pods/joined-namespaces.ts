/** Namespaces that a specification joins by a path in the guest, such as those of a pod's sandbox container. */
import { lstatSync, readlinkSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";

/** Names in /proc/<pid>/ns by the types of the specification, if they differ. */
const kernelNames: ReadonlyMap<string, string> = new Map([
  ["network", "net"],
  ["mount", "mnt"],
]);

/**
 * Throws a GuestFault for a namespace that does not exist or is known to be of another type. Outside /proc, the type shows
 * only when the namespace is joined: the kernel refuses it then.
 */
export function checkJoinedNamespaces({ linux }: OciSpec): void {
  for (const [index, { type, path = "" }] of (linux?.namespaces ?? []).entries()) {
    if (path === "") continue;
    const field = `OciSpecification.linux.namespaces[${index}].path`;
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) throw new GuestFault("E_FAIL", `${field}: ${path} does not exist in the guest`);
    const found = stats.isSymbolicLink() ? /^([a-z]+):\[\d+\]$/.exec(readlinkSync(path))?.[1] : undefined;
    const expected = kernelNames.get(type) ?? type;
    if (found === undefined || found === expected) continue;
    throw new GuestFault("E_FAIL", `${field}: ${path} is a namespace of type ${found}, expected ${expected}`);
  }
}

/** Without a network namespace of its own, a container uses that of the VM. */
export function withHostNetwork(spec: OciSpec): OciSpec {
  const namespaces = (spec.linux?.namespaces ?? []).filter(({ type }) => type !== "network");
  return { ...spec, linux: { ...spec.linux, namespaces } };
}
