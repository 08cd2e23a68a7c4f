import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { manifests, root } from "../workspace.ts";
import {
  compareVersions,
  engineProblems,
  lowestNode,
  manifestProblems,
  type PublishedManifest,
} from "./package-manifests.ts";

const folder = "packages/lifecycle";
const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as PublishedManifest;
const example = "```ts\nconsole.log(1);\n```\n\n```text\n1\n```\n";
const readme = `# It\n\n\`\`\`sh\nnpm install @uvm-shim/lifecycle\n\`\`\`\n\n${example}`;
const problems = (change: object, text = readme): readonly string[] =>
  manifestProblems(folder, { ...manifest, ...change }, text).map(({ what }) => what);

describe("manifests of published packages", () => {
  it("are whole", () => {
    expect(problems({})).toEqual([]);
    for (const [place, each] of manifests()) {
      if (!place.startsWith("packages/")) continue;
      const text = readFileSync(join(root, place, "README.md"), "utf8");
      expect(manifestProblems(place, each as unknown as PublishedManifest, text)).toEqual([]);
    }
  });

  it.each([
    ["engines", { node: ">=20" }, 'engines.node is not ">=22" or a later release of 22'],
    ["repository", undefined, "repository is not "],
    ["bugs", "", "bugs is not "],
    ["homepage", "https://example.com", "homepage is not "],
    ["keywords", ["a"], "keywords are missing"],
    ["license", "ISC", 'license is not "MIT"'],
    ["files", [], 'files do not have "dist"'],
    ["scripts", { build: "x" }, "scripts.prepack is not tools/prepack.mjs"],
    ["publishConfig", { ...manifest.publishConfig, access: undefined }, 'publishConfig.access is not "public"'],
    ["publishConfig", { ...manifest.publishConfig, provenance: false }, "publishConfig.provenance is not true"],
    ["publishConfig", { ...manifest.publishConfig, exports: {} }, "publishConfig.exports are not those of the sources"],
    ["exports", { ...manifest.exports, "./new": "./src/new.ts" }, "publishConfig.exports are not those of the sources"],
  ])("are reported without their %s: %j", (field, value, what) => {
    expect(problems({ [field]: value })).toEqual([expect.stringContaining(what)]);
  });

  it("need a README that says how the package is installed, and nothing when they are private", () => {
    const install = 'has no line "npm install @uvm-shim/lifecycle" in a block of its own';
    expect(problems({}, `# It\n\n${example}`)).toEqual([install]);
    expect(manifestProblems(folder, { private: true }, "")).toEqual([]);
  });

  it.each([
    ["no example", ""],
    ["one without output", "```ts\n1;\n```\n\nIt says nothing.\n\n```text\n1\n```\n"],
    ["one in another language", "```js\n1;\n```\n\n```text\n1\n```\n"],
  ])("need a README with an example that shows its output: %s", (_, text) => {
    const example = "has no TypeScript example with its output in a block of text after it";
    expect(problems({}, `\nnpm install @uvm-shim/lifecycle\n\n${text}`)).toEqual([example]);
    expect(problems({}, `\nnpm install @uvm-shim/lifecycle\n\n${text}${readme}`)).toEqual([]);
  });

  it("run on no older Node than the packages that they need", () => {
    const packages = (needing: object): ReadonlyMap<string, PublishedManifest> =>
      new Map<string, PublishedManifest>([
        ["packages/a", { name: "a", engines: { node: ">=22.10" } }],
        ["packages/b", { name: "b", engines: { node: ">=22.9" }, ...needing }],
        ["packages/c", { name: "c", private: true, dependencies: { a: "*" } }],
      ]);
    const what = "engines.node begins with 22.9.0, but a needs 22.10.0";
    const found = [{ file: "packages/b/package.json", what }];
    expect(engineProblems(packages({}))).toEqual([]);
    expect(engineProblems(packages({ dependencies: { a: "workspace:*", koffi: "3" } }))).toEqual(found);
    expect(engineProblems(packages({ peerDependencies: { a: "workspace:^" } }))).toEqual(found);
  });

  it.each([
    [">=22", "22.0.0"],
    [">=22.15", "22.15.0"],
    [">=22.6.1", "22.6.1"],
  ])("with %s begin with Node %s", (range, version) => {
    expect(lowestNode(range)).toBe(version);
    expect(compareVersions(version, "22.10.0")).toBe(version === "22.15.0" ? 1 : -1);
  });
});
