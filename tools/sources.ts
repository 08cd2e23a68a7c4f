/** What executables are made of, as one digest. */
import { createHash } from "node:crypto";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sourceCommit } from "./commit.ts";
import { root } from "./workspace.ts";

/** Changes with whatever executables are made of. */
export function digestSources(top = root): string {
  const folders = globSync(["packages/*/src", "apps/*/src", "tools"], { cwd: top }).sort();
  const files = folders.flatMap((folder) =>
    readdirSync(join(top, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /(?<!\.test)\.([cm]?[jt]s|sh)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const manifests = ["package.json", "pnpm-lock.yaml", ...globSync("{packages,apps}/*/package.json", { cwd: top })];
  const hash = createHash("sha256").update(`${process.version} ${sourceCommit(process.env, top)}\n`);
  for (const file of [...files, ...manifests.map((name) => join(top, name))].sort()) {
    hash.update(`${file}\0`).update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}
