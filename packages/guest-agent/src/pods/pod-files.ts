/** The files by which containers resolve names: hostname, hosts and resolv.conf. */
import { mkdirSync, writeFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciMount, OciSpec } from "@uvm-shim/hcs-schema";

const names = ["hostname", "hosts", "resolv.conf"] as const;
/** The name of a file in /etc that a pod's containers share. */
export type PodFileName = (typeof names)[number];

const longestSearch = 6;

/** The name resolution that the NICs of a network namespace configure. */
export interface NameResolution {
  readonly searches: readonly string[];
  readonly servers: readonly string[];
}

/** Throws a GuestFault for a name that must not become a word of a trusted file. */
export function checkHostname(hostname: string): void {
  if (/^[a-zA-Z0-9_.-]{0,255}$/.test(hostname)) return;
  const given = JSON.stringify(hostname.slice(0, 64));
  throw new GuestFault(
    "E_FAIL",
    `invalid OciSpecification.hostname ${given}: expected at most 255 letters, digits, hyphens, underscores and dots`,
  );
}

/** Writes such a file, which everybody may read. */
export function writePodFile(folder: string, name: PodFileName, content: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  writeFileSync(`${folder}/${name}`, content, { mode: 0o644 });
}

/** The text of /etc/hostname. */
export function hostnameFile(hostname: string): string {
  return `${hostname}\n`;
}

/** The text of /etc/hosts, with a short name too for a host name with dots. */
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

/** Throws a GuestFault for more search domains than resolv.conf(5) allows. */
export function resolvConfFile({ searches, servers }: NameResolution): string {
  if (searches.length > longestSearch) {
    throw new GuestFault(
      "E_FAIL",
      `the NICs have ${searches.length} search domains: resolv.conf allows at most ${longestSearch}`,
    );
  }
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}\n`]),
    ...servers.map((server) => `nameserver ${server}\n`),
  ].join("");
}

/**
 * The mounts of the files that the specification does not mount itself. The container fails if its root is read-only and
 * has no such files, since the runtime cannot make the mount points.
 */
export function podFileMounts({ mounts = [], root }: OciSpec, folder: string): readonly OciMount[] {
  const options = ["bind", ...(root?.readonly === true ? ["ro"] : [])];
  return names
    .filter((name) => !isMounted(mounts, name))
    .map((name) => ({ destination: `/etc/${name}`, type: "bind", source: `${folder}/${name}`, options }));
}

/** Matches only the exact path. */
export function isMounted(mounts: readonly OciMount[], name: PodFileName): boolean {
  return mounts.some(({ destination }) => destination === `/etc/${name}`);
}
