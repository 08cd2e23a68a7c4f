/**
 * Network namespaces of the emulated host's machine, which a real host cannot offer: a container joins one when it
 * starts, and its NICs are already set up in it.
 */
import { existsSync } from "node:fs";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import { guestFolders, joinedNetwork } from "@uvm-shim/host-protocol/guest";

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The path of the namespace with this id; undefined for one of the guest itself. */
export function joinedNamespacePath(id: string): string | undefined {
  if (!guidPattern.test(id)) return undefined;
  const path = joinedNetwork(id);
  return existsSync(path) ? path : undefined;
}

/** Whether the NIC with this interface name is in such a namespace. */
export function isJoinedNic(hostName: string): boolean {
  return existsSync(`${guestFolders.joinedNics}/${hostName}`);
}

/** Replaces the network namespace that the specification requests. */
export function withNetworkAt(spec: OciSpec, path: string): OciSpec {
  const others = (spec.linux?.namespaces ?? []).filter(({ type }) => type !== "network");
  return { ...spec, linux: { ...spec.linux, namespaces: [...others, { type: "network", path }] } };
}
