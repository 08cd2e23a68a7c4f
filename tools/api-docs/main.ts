/** `npm run docs`: the documentation of everything that the published packages export, as HTML in dist/docs. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Application } from "typedoc";
import { manifests, root } from "../workspace.ts";

const output = join(root, "dist", "docs");
const configuration = join(root, "dist", "docs-tsconfig.json");

/** The entry modules of the published packages, by the names by which they are imported. */
function entries(): ReadonlyMap<string, string> {
  const published = [...manifests()].filter(([, manifest]) => !manifest.private);
  return new Map(
    published.flatMap(([folder, { name, exports = {} }]) =>
      Object.entries(exports).map(([subpath, entry]) => [name + subpath.slice(1), join(folder, entry)] as const),
    ),
  );
}

/** What typedoc calls a module: the path below packages/, without what index modules have in common. */
function ownName(entry: string): string {
  return entry.replace(/^packages\//, "").replace(/(\/index)?\.ts$/, "");
}

async function main(): Promise<number> {
  mkdirSync(join(root, "dist"), { recursive: true });
  const modules = entries();
  const include = [
    ...new Set([...modules.values()].map((entry) => join(root, entry.split("/src/", 1)[0] ?? "", "src"))),
  ];
  writeFileSync(configuration, JSON.stringify({ extends: join(root, "tsconfig.json"), include }));
  const app = await Application.bootstrap({
    name: "uvm-shim",
    readme: join(root, "README.md"),
    entryPoints: [...modules.values()].map((entry) => join(root, entry)),
    tsconfig: configuration,
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    gitRevision: "main",
    disableSources: true,
    hideGenerator: true,
    githubPages: false,
    logLevel: "Warn",
    validation: { notExported: false, invalidLink: true, invalidPath: false },
  });
  const project = await app.convert();
  if (project === undefined) return 1;
  const imported = new Map([...modules].map(([name, entry]) => [ownName(entry), name]));
  for (const module of project.children ?? []) module.name = imported.get(module.name) ?? module.name;
  await app.generateDocs(project, output);
  const broken = app.logger.hasErrors() || !existsSync(join(output, "index.html"));
  process.stdout.write(broken ? "the documentation has errors\n" : `made ${join(output, "index.html")}\n`);
  return broken ? 1 : 0;
}

process.exitCode = await main();
