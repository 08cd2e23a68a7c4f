/** Whether a tarball has all that its manifest speaks of, and its manifest all that its files import. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { importsOf } from "../../../tools/check/import-scan.ts";
import type { PublishedManifest } from "./tarballs.ts";

export function contentProblems(name: string, folder: string, manifest: PublishedManifest): readonly string[] {
  return [
    ...missingFiles(folder, manifest),
    ...unusableVersions(manifest),
    ...undeclaredImports(name, folder, manifest),
  ];
}

function missingFiles(folder: string, { exports = {}, bin = {} }: PublishedManifest): readonly string[] {
  const named = Object.entries(exports).flatMap(([path, entry]) => {
    if (typeof entry === "string") return path === "./package.json" ? [entry] : [`a condition "types" of ${path}`];
    return ["types", "default"].map((condition) => entry[condition] ?? `a condition "${condition}" of ${path}`);
  });
  const expected = ["README.md", "LICENSE", ...named, ...Object.values(bin)];
  return expected.filter((file) => !existsSync(join(folder, file))).map((file) => `${file} is missing`);
}

function unusableVersions({ dependencies = {}, peerDependencies = {} }: PublishedManifest): readonly string[] {
  return Object.entries({ ...dependencies, ...peerDependencies })
    .filter(([, version]) => /^(workspace|catalog|file|link):/.test(version))
    .map(([dependency, version]) => `its manifest asks for ${dependency} in version ${version}`);
}

/** npm installs everything side by side, so an import that is not declared fails only at somebody else's. */
function undeclaredImports(name: string, folder: string, manifest: PublishedManifest): readonly string[] {
  const declared = new Set([name, ...Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })]);
  const undeclared = new Map<string, string>();
  for (const file of globSync(["dist/**/*.js", "dist/**/*.d.ts"], { cwd: folder })) {
    for (const { specifier } of importsOf(file, readFileSync(join(folder, file), "utf8"))) {
      const imported = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
      if (specifier.startsWith(".") || isBuiltin(specifier) || declared.has(imported)) continue;
      undeclared.set(imported, file);
    }
  }
  return [...undeclared].map(([imported, file]) => `${file} imports ${imported}, which the manifest does not declare`);
}
