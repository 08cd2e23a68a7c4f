/** The workspace as the tools see it: its root, its packages, its files. */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

export interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** The root's own manifest. */
export function manifest(): {
  readonly scripts: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
} {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
}

/** The manifest of each package of the workspace, by its folder. */
export function manifests(): ReadonlyMap<string, Manifest> {
  const files = globSync(["packages/*/package.json", "apps/*/package.json", "test/package.json"], { cwd: root });
  return new Map(files.sort().map((file) => [dirname(file), JSON.parse(readFileSync(join(root, file), "utf8"))]));
}

/** The files that are in version control, or are going to be. */
export function workspaceFiles(): readonly string[] {
  const listed = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  if (listed.status !== 0) throw new Error(`git ls-files failed in ${root}: ${listed.error?.message ?? listed.stderr}`);
  return listed.stdout.split("\0").filter((file) => file !== "" && existsSync(join(root, file)));
}
