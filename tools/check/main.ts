/** The rules of this repository that neither the linter nor the compiler knows; `npm run check` runs it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { manifests, root, workspaceFiles } from "../workspace.ts";
import { bannedIn } from "./banned-words.ts";
import { boundaryProblems } from "./boundaries.ts";
import { appsOfPackages, changesetProblems, releasedPackages } from "./changesets.ts";
import { undocumented } from "./doc-comments.ts";
import { exampleProblems } from "./examples.ts";
import { deadLinks } from "./links.ts";
import { emptyMatches } from "./matchers.ts";
import { looseReadings } from "./outside-texts.ts";
import { engineProblems, manifestProblems } from "./package-manifests.ts";
import { describeProblem, type Problem } from "./problem.ts";

export function checkAll(): ReadonlyMap<string, readonly Problem[]> {
  const packages = manifests();
  const files = workspaceFiles();
  const read = (file: string): string => readFileSync(join(root, file), "utf8");
  const changesets = files.filter((file) => /^\.changeset\/(?!README\b).*\.md$/.test(file));
  const documents = files.filter((file) => file.endsWith(".md") && !changesets.includes(file));
  const sources = files.filter((file) => /^(packages|apps)\/[^/]+\/src\/.*\.ts$/.test(file));
  const isPublished = (file: string): boolean =>
    file.startsWith("packages/") && packages.get(file.split("/").slice(0, 2).join("/"))?.private !== true;
  const published = sources.filter((file) => isPublished(file) && !file.endsWith(".test.ts"));
  const texts = files.filter(
    (file) => /\.(ts|mjs|cjs|md|sh)$/.test(file) && !file.startsWith("tools/check/banned-words"),
  );
  const tests = files.filter((file) => /\.(test|suite)\.ts$/.test(file) || /\/testing\/.*\.ts$/.test(file));
  const [released, apps] = [releasedPackages(packages), appsOfPackages(packages)];
  const targets = { has: targetsOf(files), read };
  return new Map([
    ["boundaries between packages", boundaryProblems(packages, files)],
    [
      "texts from outside",
      sources.flatMap((file) => looseReadings(file, read(file)).map(({ line, why }) => ({ file, line, what: why }))),
    ],
    [
      "manifests of packages",
      [
        ...[...packages].flatMap(([folder, manifest]) =>
          folder.startsWith("packages/") ? manifestProblems(folder, { ...manifest }, read(`${folder}/README.md`)) : [],
        ),
        ...engineProblems(new Map([...packages].map(([folder, manifest]) => [folder, { ...manifest }]))),
      ],
    ],
    ["links", documents.flatMap((file) => deadLinks(file, targets))],
    ["changesets", changesets.flatMap((file) => changesetProblems(file, read(file), released, apps))],
    ["examples", exampleProblems(new Map(documents.map((file) => [file, read(file)])))],
    ["doc comments", published.flatMap((file) => undocumented(file, read(file)))],
    ["matchers", tests.flatMap((file) => emptyMatches(file, read(file)))],
    ["banned words", texts.flatMap((file) => bannedIn(file, read(file)))],
  ]);
}

function targetsOf(files: readonly string[]): (path: string) => boolean {
  const paths = new Set(["."]);
  for (const file of files) {
    const parts = file.split("/");
    for (const length of parts.keys()) paths.add(parts.slice(0, length + 1).join("/"));
  }
  return (path) => paths.has(path.replace(/\/$/, ""));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  let count = 0;
  for (const [rule, problems] of checkAll()) {
    for (const problem of problems) process.stdout.write(`${describeProblem(problem)}\n`);
    process.stdout.write(`${rule}: ${problems.length === 0 ? "ok" : `${problems.length} problems`}\n`);
    count += problems.length;
  }
  process.exitCode = count === 0 ? 0 : 1;
}
