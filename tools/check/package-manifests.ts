/** What the manifest and the README of a published package must have, so that it can be found, installed and used alone. */
import { isDeepStrictEqual } from "node:util";
import type { Problem } from "./problem.ts";

/**
 * Entries of the workspace that are not published. The bench of platform-common is for the apps of this repository: it runs
 * the sources of the shim's services and of the emulator, which no package exports.
 */
const unpublished: Readonly<Record<string, readonly string[]>> = { "packages/platform-common": ["./testing"] };

/** Packages whose README cannot have an example that shows its output; it says why. */
const withoutOutput: ReadonlySet<string> = new Set(["packages/guest-agent"]);

const exampleWithOutput = /^```ts\n(?:(?!```).*\n)*```\n\n```text\n/m;

const site = "https://github.com/uvm-shim/uvm-shim";
const nodeRange = /^>=22(\.\d+){0,2}$/;

export interface PublishedManifest {
  readonly name?: unknown;
  readonly private?: boolean;
  readonly version?: unknown;
  readonly description?: unknown;
  readonly keywords?: unknown;
  readonly license?: unknown;
  readonly type?: unknown;
  readonly engines?: { readonly node?: string };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string>>;
  readonly files?: unknown;
  readonly publishConfig?: Readonly<Record<string, unknown>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** Entries as they are published: declarations and code of dist/ for each source. */
function publishedExports(folder: string, exports: Readonly<Record<string, string>>): object {
  const entries = Object.entries(exports).filter(([entry]) => !unpublished[folder]?.includes(entry));
  return Object.fromEntries(
    entries.map(([entry, source]) => {
      const base = source.replace(/^\.\/src\//, "./dist/").replace(/\.ts$/, "");
      return [entry, { types: `${base}.d.ts`, default: `${base}.js` }];
    }),
  );
}

/** What is wrong with the package in `folder`, which is published unless its manifest says that it is private. */
export function manifestProblems(folder: string, manifest: PublishedManifest, readme: string): readonly Problem[] {
  if (manifest.private === true) return [];
  const file = `${folder}/package.json`;
  const name = `@uvm-shim/${folder.replace(/^packages\//, "")}`;
  const expected: Readonly<Record<string, unknown>> = {
    name,
    license: "MIT",
    type: "module",
    sideEffects: false,
    homepage: `${site}/tree/main/${folder}#readme`,
    bugs: `${site}/issues`,
    repository: { type: "git", url: `git+${site}.git`, directory: folder },
  };
  const problems = Object.entries(expected)
    .filter(([field, value]) => !isDeepStrictEqual(manifest[field], value))
    .map(([field, value]) => `${field} is not ${JSON.stringify(value)}`);
  const { version, description, keywords, engines, files, exports = {}, publishConfig = {}, scripts = {} } = manifest;
  if (typeof version !== "string" || !/^\d+\.\d+\.\d+$/.test(version)) problems.push("version is not one");
  if (typeof description !== "string" || description === "") problems.push("description is missing");
  if (!Array.isArray(keywords) || keywords.length < 3) problems.push("keywords are missing: at least three");
  if (!nodeRange.test(engines?.node ?? "")) problems.push('engines.node is not ">=22" or a later release of 22');
  if (!Array.isArray(files) || !files.includes("dist")) problems.push('files do not have "dist"');
  if (scripts.build === undefined) problems.push("scripts.build is missing");
  if (scripts.prepack !== "node ../../tools/prepack.mjs") problems.push("scripts.prepack is not tools/prepack.mjs");
  if (publishConfig.access !== "public") problems.push('publishConfig.access is not "public"');
  if (publishConfig.provenance !== true) problems.push("publishConfig.provenance is not true");
  const entries = publishedExports(folder, exports);
  if (!isDeepStrictEqual(publishConfig.exports, entries)) {
    problems.push(`publishConfig.exports are not those of the sources in dist/: ${JSON.stringify(entries)}`);
  }
  const found: Problem[] = problems.map((what) => ({ file, what }));
  const readmeFile = `${folder}/README.md`;
  if (!readme.includes(`\nnpm install ${name}\n`)) {
    found.push({ file: readmeFile, what: `has no line "npm install ${name}" in a block of its own` });
  }
  if (!withoutOutput.has(folder) && !exampleWithOutput.test(readme)) {
    found.push({ file: readmeFile, what: "has no TypeScript example with its output in a block of text after it" });
  }
  return found;
}

/** Published packages that say they run on a Node on which a package that they need does not. */
export function engineProblems(packages: ReadonlyMap<string, PublishedManifest>): readonly Problem[] {
  const published = [...packages].filter(([folder, each]) => folder.startsWith("packages/") && each.private !== true);
  const lowest = new Map(published.map(([, { name, engines }]) => [String(name), lowestNode(engines?.node ?? "")]));
  return published.flatMap(([folder, { name, dependencies, peerDependencies }]) => {
    const own = lowest.get(String(name)) ?? "";
    return Object.keys({ ...dependencies, ...peerDependencies })
      .filter((needed) => compareVersions(lowest.get(needed) ?? own, own) > 0)
      .map((needed) => ({
        file: `${folder}/package.json`,
        what: `engines.node begins with ${own}, but ${needed} needs ${lowest.get(needed)}`,
      }));
  });
}

/** The oldest Node of a range such as ">=22.6". */
export function lowestNode(range: string): string {
  const [major = "0", minor = "0", patch = "0"] = range.replace(/^>=/, "").split(".");
  return [major, minor, patch].join(".");
}

/** Negative where the first of two versions is the older one. */
export function compareVersions(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}
