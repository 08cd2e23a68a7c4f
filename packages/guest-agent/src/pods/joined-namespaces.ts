/** Namespaces that a specification names by a path: they are the guest's, such as those of a pod's sandbox container. */
import { lstatSync, readlinkSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";

/** Names below /proc/<pid>/ns by the types of the specification. */
const kernelNames: ReadonlyMap<string, string> = new Map([
  ["network", "net"],
  ["mount", "mnt"],
]);

/**
 * Throws a GuestFault when one is not there, or is plainly of another type. What lies outside of /proc shows no type
 * before it is joined: the kernel refuses it then.
 */
export function checkJoinedNamespaces({ linux }: OciSpec): void {
  for (const [index, { type, path = "" }] of (linux?.namespaces ?? []).entries()) {
    if (path === "") continue;
    const field = `OciSpecification.linux.namespaces[${index}].path`;
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) throw new GuestFault("E_FAIL", `${field} is ${path}, which the guest does not have`);
    const found = stats.isSymbolicLink() ? /^([a-z]+):\[\d+\]$/.exec(readlinkSync(path))?.[1] : undefined;
    const wanted = kernelNames.get(type) ?? type;
    if (found === undefined || found === wanted) continue;
    throw new GuestFault("E_FAIL", `${field} is ${path}, a namespace of type ${found}, expected is ${wanted}`);
  }
}

/** Without a network namespace, a container is in that of the VM. */
export function withHostNetwork(spec: OciSpec): OciSpec {
  const namespaces = (spec.linux?.namespaces ?? []).filter(({ type }) => type !== "network");
  return { ...spec, linux: { ...spec.linux, namespaces } };
}
