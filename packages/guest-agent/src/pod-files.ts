/** The files by which a container knows its name and finds others: made here where its specification has none. */
import { accessSync, constants, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciMount, OciSpec } from "@uvm-shim/hcs-schema";
import { guestFolders } from "./guest-folders.ts";

/** Files of the bundle that belong to this module. */
export const podFileNames = ["hosts", "hostname"] as const;

export interface PodIdentity {
  /** The pod's name, for containers without one of their own. */
  readonly hostname: string;
  /** Addresses by which the pod is reached. */
  readonly addresses: readonly string[];
}

/** The specification with mounts of resolv.conf, hosts and hostname below /etc, as far as it has none of them. */
export function withPodFiles(spec: OciSpec, bundle: string, pod: PodIdentity): OciSpec {
  const { mounts = [], hostname: own = "" } = spec;
  const hostname = own === "" ? pod.hostname : own;
  // The name becomes a word of a file that others trust.
  if (!/^[A-Za-z0-9_.-]{1,255}$/.test(hostname)) {
    throw new GuestFault(
      "E_INVALIDARG",
      `OciSpecification.hostname is ${JSON.stringify(hostname.slice(0, 64))}, accepted are letters, digits, hyphens, underscores and dots`,
    );
  }
  const sources = {
    "/etc/resolv.conf": guestFolders.resolvConf,
    "/etc/hosts": `${bundle}/hosts`,
    "/etc/hostname": `${bundle}/hostname`,
  };
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  writeFileSync(sources["/etc/hosts"], hostsFile(hostname, pod.addresses));
  writeFileSync(sources["/etc/hostname"], `${hostname}\n`);
  const root = spec.root?.path ?? "/";
  const options = ["bind", ...(spec.root?.readonly === true ? ["ro"] : [])];
  const added = Object.entries(sources)
    .filter(([destination]) => !mounts.some((mount) => normal(mount.destination) === destination))
    .filter(([destination]) => canMountAt(root, destination))
    .map(([destination, source]): OciMount => ({ destination, type: "bind", source, options }));
  return { ...spec, mounts: [...mounts, ...added] };
}

export function hostsFile(hostname: string, addresses: readonly string[]): string {
  const names = [...new Set([hostname, hostname.split(".")[0] ?? hostname])].join(" ");
  const own = addresses.length === 0 ? ["127.0.0.1"] : addresses;
  return [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost ip6-loopback",
    "fe00::0 ip6-localnet",
    "ff00::0 ip6-mcastprefix",
    "ff02::1 ip6-allnodes",
    "ff02::2 ip6-allrouters",
    ...own.map((address) => `${address} ${names}`),
    "",
  ].join("\n");
}

/** The runtime makes a mount point where there is none, which a read-only file system does not allow. */
function canMountAt(root: string, destination: string): boolean {
  try {
    accessSync(root, constants.W_OK);
    return true;
  } catch {
    const folder = lstatSync(`${root}/etc`, { throwIfNoEntry: false });
    return (
      folder?.isDirectory() === true && lstatSync(`${root}${destination}`, { throwIfNoEntry: false })?.isFile() === true
    );
  }
}

function normal(path: string): string {
  return path.replaceAll(/\/+/g, "/").replace(/\/$/, "");
}
