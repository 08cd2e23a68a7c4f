/** Packages of Debian, unpacked into the cache as a tree like a system's, whatever the machine itself has installed. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { aptOptions } from "../../test/src/debian/apt.ts";
import { cacheFolder } from "../../test/src/support/cache.ts";
import { belowUsr } from "../bootstrap/provide.mjs";

/** Its kernel is the one that the guest's modules are chosen of. */
export const debianRelease = "bookworm";

export interface WantedPackages {
  /** What it is for: part of the folder's name. */
  readonly name: string;
  /** Packages that come with all that they depend on. */
  readonly whole?: readonly string[];
  /** Packages without anything that they depend on. */
  readonly alone?: readonly string[];
  /** Packages of which the newest that they depend on comes, such as the kernel of linux-image-amd64, without more. */
  readonly behind?: readonly string[];
  /** Packages that others depend on, and that stay away all the same. */
  readonly without?: readonly string[];
}

export interface DebianTree {
  /** Everything is below its `usr`, but for `etc` and the like. */
  readonly folder: string;
  /** File names of the packages, which have their versions. */
  readonly packages: readonly string[];
}

/** Runs a program and returns its output; rejects with its last words. */
export type Run = (
  command: string,
  args: readonly string[],
  options?: { readonly directory?: string },
) => Promise<string>;

const downloadMs = 300_000;
const listFile = ".packages";

const runProgram: Run = (command, args, options) => mustRun(command, args, { ...options, timeoutMs: downloadMs });

/** Finds the tree in the cache, or makes it. What is there is kept: remove the folder to have newer packages. */
export async function debianTree(
  wanted: WantedPackages,
  {
    cache = cacheFolder("debian"),
    run = runProgram,
    report,
  }: { readonly cache?: string; readonly run?: Run; readonly report: (message: string) => void },
): Promise<DebianTree> {
  const { name, whole = [], alone = [], behind = [], without = [] } = wanted;
  const digest = createHash("sha256")
    .update(JSON.stringify([whole, alone, behind, without]))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cache, `${debianRelease}-${name}-${digest}`);
  if (!existsSync(folder)) {
    const all = [...whole, ...alone, ...behind];
    report(`fetching Debian's ${all.join(", ")}`);
    try {
      await fetchInto(folder, { whole, alone, behind, without }, cache, run);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`cannot get Debian's packages ${all.join(", ")}: ${message}`, { cause: error });
    }
  }
  return { folder, packages: readFileSync(join(folder, listFile), "utf8").trimEnd().split("\n") };
}

async function fetchInto(
  folder: string,
  { whole, alone, behind, without }: Required<Omit<WantedPackages, "name">>,
  cache: string,
  run: Run,
): Promise<void> {
  const work = mkdtempSync(join(cache, ".apt-"));
  try {
    // With the machine's list of installed packages, what it has would be left out.
    const nothingInstalled = join(work, "status");
    writeFileSync(nothingInstalled, "");
    const apt = [...aptOptions(work, [debianRelease]), "-o", `Dir::State::status=${nothingInstalled}`];
    await run("apt-get", [...apt, "update", "-q"]);
    const archives = join(work, "cache", "archives");
    if (whole.length > 0) {
      await run("apt-get", [...apt, "install", "--download-only", "-y", "-q", "--no-install-recommends", ...whole]);
    }
    const found = await Promise.all(behind.map((name) => newestBehind(name, apt, run)));
    if (alone.length + found.length > 0) {
      await run("apt-get", [...apt, "download", "-q", ...alone, ...found], { directory: archives });
    }
    const isWanted = (name: string): boolean => name.endsWith(".deb") && !without.includes(name.split("_", 1)[0] ?? "");
    const packages = readdirSync(archives).filter(isWanted).sort();
    const unpacked = join(work, "unpacked");
    for (const name of packages) await run("dpkg-deb", ["-x", join(archives, name), unpacked]);
    belowUsr(unpacked);
    writeFileSync(join(unpacked, listFile), `${packages.join("\n")}\n`);
    // Another one may have been as fast.
    if (!existsSync(folder)) renameSync(unpacked, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The package that an empty one stands for. */
async function newestBehind(name: string, apt: readonly string[], run: Run): Promise<string> {
  const shown = await run("apt-cache", [...apt, "show", "--no-all-versions", name]);
  const depends = /^Depends: ([a-z0-9.+-]+)/m.exec(shown)?.[1];
  if (depends === undefined)
    throw new Error(`the package ${name} depends on nothing: expected one that stands for another`);
  return depends;
}
