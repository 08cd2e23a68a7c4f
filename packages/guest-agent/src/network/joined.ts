/**
 * Network namespaces that the emulated host has made known to this guest, as no real host can: a container that holds
 * one is in it from its start, and its NICs are there already, set up by whoever made it.
 */
import { existsSync } from "node:fs";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import { guestFolders, joinedNetwork } from "@uvm-shim/host-protocol/guest";

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Where the namespace of this id is; undefined for one that gathers NICs in the guest itself. */
export function joinedNamespacePath(id: string): string | undefined {
  if (!guidPattern.test(id)) return undefined;
  const path = joinedNetwork(id);
  return existsSync(path) ? path : undefined;
}

/** Whether the NIC, by its interface's name, stands in such a namespace. */
export function isJoinedNic(hostName: string): boolean {
  return existsSync(`${guestFolders.joinedNics}/${hostName}`);
}

/** The specification of the container that holds such a namespace: it has this, whatever it asks for. */
export function withNetworkAt(spec: OciSpec, path: string): OciSpec {
  const others = (spec.linux?.namespaces ?? []).filter(({ type }) => type !== "network");
  return { ...spec, linux: { ...spec.linux, namespaces: [...others, { type: "network", path }] } };
}
