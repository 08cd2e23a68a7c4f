/** `npm run release:notes`: what the changelogs of the executables say of the version that is released. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { manifests, root } from "../workspace.ts";
import { releaseVersion } from "./targets.ts";

/** The part of a changelog about a version, without its title. */
export function sectionOf(changelog: string, version: string): string {
  const [, ...sections] = changelog.split(/^## /m);
  const section = sections.find((each) => each.split("\n", 1)[0] === version);
  return section?.slice(version.length).trim() ?? "";
}

if (import.meta.main) {
  for (const file of globSync("apps/*/CHANGELOG.md", { cwd: root }).sort()) {
    const section = sectionOf(readFileSync(join(root, file), "utf8"), releaseVersion());
    const name = manifests().get(dirname(file))?.name;
    if (section !== "") process.stdout.write(`## ${name}\n\n${section}\n\n`);
  }
}
