/** The files by which containers know their name and find others. */
import { mkdirSync, writeFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciMount, OciSpec } from "@uvm-shim/hcs-schema";

const names = ["hostname", "hosts", "resolv.conf"] as const;
export type PodFileName = (typeof names)[number];

const longestSearch = 6;

/** What the NICs of a network namespace say about name resolution. */
export interface NameResolution {
  readonly searches: readonly string[];
  readonly servers: readonly string[];
}

/** Throws a GuestFault: the name becomes a word of a file that others trust. */
export function checkHostname(hostname: string): void {
  if (/^[a-zA-Z0-9_.-]{0,255}$/.test(hostname)) return;
  const given = JSON.stringify(hostname.slice(0, 64));
  throw new GuestFault(
    "E_FAIL",
    `OciSpecification.hostname is ${given}, accepted are at most 255 letters, digits, hyphens, underscores and dots`,
  );
}

export function writePodFile(folder: string, name: PodFileName, content: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  writeFileSync(`${folder}/${name}`, content, { mode: 0o644 });
}

export function hostnameFile(hostname: string): string {
  return `${hostname}\n`;
}

export function hostsFile(hostname: string): string {
  const [short = "", ...rest] = hostname.split(".");
  return [
    "127.0.0.1 localhost",
    `127.0.0.1 ${rest.length === 0 ? hostname : `${hostname} ${short}`}`,
    "::1 ip6-localhost ip6-loopback",
    "fe00::0 ip6-localnet",
    "ff00::0 ip6-mcastprefix",
    "ff02::1 ip6-allnodes",
    "ff02::2 ip6-allrouters",
    "",
  ].join("\n");
}

/** Throws a GuestFault for more domains than resolv.conf(5) has room for. */
export function resolvConfFile({ searches, servers }: NameResolution): string {
  if (searches.length > longestSearch) {
    throw new GuestFault(
      "E_FAIL",
      `the NICs name ${searches.length} domains to search, resolv.conf has room for ${longestSearch}`,
    );
  }
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}\n`]),
    ...servers.map((server) => `nameserver ${server}\n`),
  ].join("");
}

/**
 * The mounts of those files that the specification does not mount by itself. A root without them that cannot be
 * written to, so that the runtime cannot make the mount points, makes the container fail.
 */
export function podFileMounts({ mounts = [], root }: OciSpec, folder: string): readonly OciMount[] {
  const options = ["bind", ...(root?.readonly === true ? ["ro"] : [])];
  return names
    .filter((name) => !isMounted(mounts, name))
    .map((name) => ({ destination: `/etc/${name}`, type: "bind", source: `${folder}/${name}`, options }));
}

/** By its exact name alone. */
export function isMounted(mounts: readonly OciMount[], name: PodFileName): boolean {
  return mounts.some(({ destination }) => destination === `/etc/${name}`);
}
