/**
 * The containerds that the suite runs against: unpacked from Debian's packages into a cache outside the repository,
 * beside whatever containerd the machine itself has.
 */
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { cacheFolder } from "../support/cache.ts";
import { aptOptions } from "./apt.ts";
import { upstreamVersion } from "./sources.ts";

export interface ContainerdBuild {
  /** The version as Debian names it. */
  readonly version: string;
  readonly major: number;
  /** The directory of containerd, ctr and containerd-shim-runc-v2. */
  readonly programs: string;
}

interface Wanted {
  /** The Debian release that contains it. */
  readonly release: string;
  readonly version: string;
}

export const WANTED: readonly Wanted[] = [
  { release: "bookworm", version: "1.6.20" },
  { release: "trixie", version: "1.7.24" },
  { release: "forky", version: "2.1.9" },
];

/**
 * Finds the wanted containerds, fetching those that are not in the cache.
 *
 * Debian's testing release moves on: where the version is gone, the release's present one is taken, if it is
 * of the same major version, and `log` says so.
 */
export async function findContainerds(
  wanted: readonly Wanted[],
  log: (message: string) => void,
): Promise<ContainerdBuild[]> {
  const cache = cacheFolder("containerd");
  const missing = wanted.filter((one) => cached(cache, one.version) === undefined);
  const substitutes = missing.length === 0 ? new Map<string, string>() : await fetchPackages(cache, missing, log);
  return wanted.map((one) => {
    const version = cached(cache, one.version) ?? substitutes.get(one.version);
    if (version === undefined) throw new Error(`containerd ${one.version} was fetched but is not in ${cache}`);
    return { version, major: Number(version.split(".")[0]), programs: join(cache, version, "usr", "bin") };
  });
}

function cached(cache: string, version: string): string | undefined {
  return readdirSync(cache).find(
    (name) => upstreamVersion(name) === version && existsSync(join(cache, name, "usr", "bin", "containerd")),
  );
}

async function fetchPackages(
  cache: string,
  wanted: readonly Wanted[],
  log: (message: string) => void,
): Promise<Map<string, string>> {
  const work = mkdtempSync(join(cache, ".apt-"));
  try {
    const apt = aptOptions(
      work,
      wanted.map((one) => one.release),
      WANTED.map((one) => one.release),
    );
    log(`fetching Debian's containerd ${wanted.map((one) => one.version).join(", ")}`);
    await mustRun("apt-get", [...apt, "update"], { timeoutMs: 180_000 });
    const substitutes = new Map<string, string>();
    for (const one of wanted) {
      const version = await chooseVersion(apt, one);
      if (upstreamVersion(version) !== one.version) {
        log(`Debian ${one.release} no longer has containerd ${one.version}; taking ${version}`);
        substitutes.set(one.version, version);
      }
      await mustRun("apt-get", [...apt, "download", `containerd=${version}`], { directory: work, timeoutMs: 180_000 });
      const archive = readdirSync(work).find((name) => name.endsWith(".deb"));
      if (archive === undefined)
        throw new Error(`apt-get download of containerd ${version} left no package in ${work}`);
      await mustRun("dpkg", ["-x", join(work, archive), join(work, "unpacked")]);
      rmSync(join(cache, version), { recursive: true, force: true });
      renameSync(join(work, "unpacked"), join(cache, version));
      rmSync(join(work, archive));
    }
    return substitutes;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function chooseVersion(apt: readonly string[], wanted: Wanted): Promise<string> {
  const listing = await mustRun("apt-cache", [...apt, "madison", "containerd"]);
  const ofRelease = listing
    .split("\n")
    .filter((line) => line.includes(` ${wanted.release}/`))
    .map((line) => (line.split("|")[1] ?? "").trim());
  const major = wanted.version.split(".")[0];
  const version =
    ofRelease.find((one) => upstreamVersion(one) === wanted.version) ??
    ofRelease.find((one) => one.split(".")[0] === major);
  if (version === undefined) {
    throw new Error(`Debian ${wanted.release} has no containerd ${major}.x on this machine's mirror:\n${listing}`);
  }
  return version;
}
