/** Imports that tools/boundaries.ts does not grant, and unused grants. */
import { existsSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join, normalize } from "node:path";
import { type PackageRules, packageRules, testFakes, testLibraries, testPackages } from "../boundaries.ts";
import { type Manifest, root } from "../workspace.ts";
import { type FoundImport, importsOf } from "./import-scan.ts";
import type { Problem } from "./problem.ts";

const scope = "@uvm-shim/";
const rulesFile = "tools/boundaries.ts";

/** Imports of a package's modules, by their files. */
export type ImportsByFile = ReadonlyMap<string, readonly FoundImport[]>;

export function isTestFile(file: string): boolean {
  const isForTests = testPackages.some((name) => file.startsWith(`packages/${name}/`));
  return isForTests || file.endsWith(".test.ts") || file.includes("/testing/");
}

/** Why the import is not allowed, or undefined when it is. */
export function violation(folder: string, rules: PackageRules, file: string, found: FoundImport): string | undefined {
  const { specifier, typesOnly } = found;
  const isTest = isTestFile(file);
  if (!isTest && /\/testing(\/|$)/.test(specifier)) return "only tests use what is in testing/";
  if (specifier.startsWith(".")) {
    const target = normalize(join(file, "..", specifier));
    if (/^(tools|test)\//.test(target)) return "reaches out of packages: what tests share is in test-support";
    return target.startsWith(`${folder}/src/`) || isTest ? undefined : `reaches out of ${folder}/src`;
  }
  if (isBuiltin(specifier)) {
    if (isTest || typesOnly) return undefined;
    if (rules.noNode && specifier !== "node:async_hooks") return "this package does no I/O";
    const startsPrograms = /^(node:)?child_process$/.test(specifier);
    return startsPrograms && !rules.startsPrograms ? "only child-processes starts programs" : undefined;
  }
  if (isTest && testFakes.includes(specifier)) return undefined;
  if (specifier.startsWith(scope)) {
    const name = nameOf(specifier);
    if (isTest && testPackages.includes(name)) return undefined;
    if (rules.uses.includes(name) || (typesOnly && rules.types?.includes(name))) return undefined;
    if (isTest && (rules.types?.includes(name) || rules.tests?.includes(name))) return undefined;
    if (rules.types?.includes(name)) return `only types may be taken from ${name}`;
    return `may use ${rules.uses.join(", ") || "nothing of ours"}`;
  }
  const library = nameOf(specifier);
  if (rules.libraries?.includes(library) || (isTest && testLibraries.includes(library))) return undefined;
  return `may use the libraries ${rules.libraries?.join(", ") || "(none)"}`;
}

/** Grants that no import of the package needs. Code that is generated uses protobuf, and is not scanned. */
export function unusedGrants(folder: string, rules: PackageRules, imports: ImportsByFile): readonly string[] {
  const generated = existsSync(join(root, folder, "proto")) ? ["protobuf"] : [];
  const needed = { uses: new Set<string>(generated), types: new Set<string>(), tests: new Set<string>() };
  const libraries = new Set<string>();
  for (const [file, found] of imports) {
    for (const { specifier, typesOnly } of found) {
      if (specifier.startsWith(".") || isBuiltin(specifier)) continue;
      const name = nameOf(specifier);
      if (!specifier.startsWith(scope)) libraries.add(name);
      else needed[isTestFile(file) ? "tests" : typesOnly ? "types" : "uses"].add(name);
    }
  }
  const unneeded = (grants: readonly string[] | undefined, used: ReadonlySet<string>): readonly string[] =>
    grants?.filter((name) => !used.has(name)) ?? [];
  return [
    ...unneeded(rules.uses, needed.uses).map((name) => {
      if (needed.types.has(name)) return `uses ${name}: only types are imported from it, which \`types\` grants`;
      if (needed.tests.has(name)) return `uses ${name}: only tests import it, which \`tests\` grants`;
      return `uses ${name}: nothing imports it`;
    }),
    ...unneeded(rules.types, needed.types).map((name) => `types of ${name}: nothing imports them`),
    ...unneeded(rules.tests, needed.tests).map((name) => `tests use ${name}: none imports it`),
    ...unneeded(rules.libraries, libraries).map((name) => `library ${name}: nothing imports it`),
  ];
}

/** Packages of ours that a manifest names without a grant. */
function ungrantedDependencies({ dependencies, devDependencies }: Manifest, rules: PackageRules): readonly string[] {
  const granted = [...rules.uses, ...(rules.types ?? [])];
  const forTests = [...granted, ...(rules.tests ?? []), ...testFakes.map(nameOf), ...testPackages];
  const ungranted = (named: Readonly<Record<string, string>> | undefined, grants: readonly string[]) =>
    Object.keys(named ?? {}).filter((name) => name.startsWith(scope) && !grants.includes(nameOf(name)));
  return [...ungranted(dependencies, granted), ...ungranted(devDependencies, forTests)];
}

/** All of that in the packages that `manifests` lists, of whose files `files` lists those in version control. */
export function boundaryProblems(
  manifests: ReadonlyMap<string, Manifest>,
  files: readonly string[],
): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [folder, manifest] of manifests) {
    if (!/^(packages|apps)\//.test(folder)) continue;
    const rules = packageRules[folder];
    if (rules === undefined) {
      problems.push({ file: rulesFile, what: `${folder} has no row` });
      continue;
    }
    const sources = files.filter((file) => file.startsWith(`${folder}/src/`) && file.endsWith(".ts"));
    const imports = new Map(sources.map((file) => [file, importsOf(file, readFileSync(join(root, file), "utf8"))]));
    for (const [file, found] of imports) {
      for (const each of found) {
        const why = violation(folder, rules, file, each);
        if (why !== undefined) problems.push({ file, line: each.line, what: `imports ${each.specifier}: ${why}` });
      }
    }
    for (const what of unusedGrants(folder, rules, imports))
      problems.push({ file: rulesFile, what: `${folder} ${what}` });
    for (const name of ungrantedDependencies(manifest, rules)) {
      problems.push({ file: `${folder}/package.json`, what: `depends on ${name}, which ${rulesFile} does not grant` });
    }
  }
  for (const folder of Object.keys(packageRules)) {
    if (!manifests.has(folder)) problems.push({ file: rulesFile, what: `${folder} has a row but does not exist` });
  }
  return problems;
}

function isBuiltin(specifier: string): boolean {
  return specifier.startsWith("node:") || builtinModules.includes(specifier);
}

/** The package of a specifier, without the scope if it is ours. */
function nameOf(specifier: string): string {
  const parts = specifier.split("/");
  if (specifier.startsWith(scope)) return parts[1] ?? "";
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}
