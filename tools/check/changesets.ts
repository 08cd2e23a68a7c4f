/** Changesets that `changeset version` could not read, that name what it does not release, or that forget the executables. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseChangesetFile } from "@changesets/parse";
import { type Manifest, root } from "../workspace.ts";
import type { Problem } from "./problem.ts";

/** The packages that a changeset may name: all but those that the configuration leaves out. */
export function releasedPackages(manifests: ReadonlyMap<string, Manifest>): ReadonlySet<string> {
  const { ignore } = JSON.parse(readFileSync(join(root, ".changeset/config.json"), "utf8")) as { ignore: string[] };
  return new Set([...manifests.values()].map(({ name }) => name).filter((name) => !ignore.includes(name)));
}

/** Packages that users meet as a part of an executable; of the others, programs of other people are users as well. */
const servesExecutables = /^@uvm-shim\/(shim|(platform|container|sandbox)-common|(sandbox|guest|controller)-\S+)$/;
const isAnotherProgram = /^@uvm-shim\/guest-agent/;

/** Of each package that serves executables, the apps that contain it. */
export function appsOfPackages(manifests: ReadonlyMap<string, Manifest>): ReadonlyMap<string, readonly string[]> {
  const byName = new Map([...manifests.values()].map((manifest) => [manifest.name, manifest]));
  const apps = new Map<string, string[]>();
  for (const [folder, { name: app }] of manifests) {
    if (!folder.startsWith("apps/")) continue;
    const reached = new Set<string>([app]);
    for (const name of reached) {
      for (const dependency of Object.keys(byName.get(name)?.dependencies ?? {})) {
        if (byName.has(dependency)) reached.add(dependency);
      }
    }
    for (const name of reached) {
      if (name === app || !servesExecutables.test(name) || isAnotherProgram.test(name)) continue;
      apps.set(name, [...(apps.get(name) ?? []), app]);
    }
  }
  return apps;
}

/**
 * What is wrong with a file of .changeset/: `released` are the packages that a changeset may name, `apps` those of which one
 * has to be named beside a package.
 */
export function changesetProblems(
  file: string,
  text: string,
  released: ReadonlySet<string>,
  apps: ReadonlyMap<string, readonly string[]>,
): readonly Problem[] {
  try {
    const { releases, summary } = parseChangesetFile(text);
    const named = releases.map(({ name }) => name);
    const unknown = named.filter((name) => !released.has(name));
    const problems = unknown.map((name) => ({ file, what: `${name} is no package that is released` }));
    if (releases.length === 0) problems.push({ file, what: "names no package" });
    if (summary === "") problems.push({ file, what: "says nothing about what users notice" });
    for (const name of named) {
      const candidates = apps.get(name) ?? [];
      if (candidates.length === 0 || candidates.some((app) => named.includes(app))) continue;
      problems.push({ file, what: `names ${name}, but not the executables that change: ${candidates.join(" or ")}` });
    }
    return problems;
  } catch (error) {
    return [{ file, what: error instanceof Error ? error.message.split("\n", 2).join(" ") : String(error) }];
  }
}
