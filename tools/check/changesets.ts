/** Changesets that `changeset version` could not read, or that name what it does not release. */

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

/** What is wrong with a file of .changeset/, of which `released` are the packages that a changeset may name. */
export function changesetProblems(file: string, text: string, released: ReadonlySet<string>): readonly Problem[] {
  try {
    const { releases, summary } = parseChangesetFile(text);
    const unknown = releases.filter(({ name }) => !released.has(name));
    const problems = unknown.map(({ name }) => ({ file, what: `${name} is no package that is released` }));
    if (releases.length === 0) problems.push({ file, what: "names no package" });
    if (summary === "") problems.push({ file, what: "says nothing about what users notice" });
    return problems;
  } catch (error) {
    return [{ file, what: error instanceof Error ? error.message.split("\n", 2).join(" ") : String(error) }];
  }
}
