/** What checks the tarballs, of pinned versions, in a folder of its own: the bootstrap of everybody else does not need it. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../../../tools/workspace.ts";

export const execute = promisify(execFile);

const pinned = [
  "typescript-5@npm:typescript@5.9.3",
  "publint@0.3.25",
  "@arethetypeswrong/core@0.18.5",
  `node-linux-${process.arch}@22.23.5`,
];
const folder = join(root, ".toolchain", "packages");
const modules = join(folder, "node_modules");

export const toolPaths = {
  typescript5: join(modules, "typescript-5", "bin", "tsc"),
  typescript7: join(root, "node_modules", "typescript", "bin", "tsc"),
  node22: join(modules, `node-linux-${process.arch}`, "bin", "node"),
  publint: join(modules, "publint", "src", "index-node.js"),
  attw: join(modules, "@arethetypeswrong", "core", "dist", "index.js"),
};

export const installOptions = ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"];

export async function installTools(): Promise<void> {
  const stamp = join(folder, "installed");
  const key = pinned.join(" ");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"private":true}\n');
  await execute("npm", [...installOptions, "--no-package-lock", ...pinned], { cwd: folder });
  writeFileSync(stamp, key);
}
