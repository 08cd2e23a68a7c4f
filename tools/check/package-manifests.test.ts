import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { manifests, root } from "../workspace.ts";
import { manifestProblems, type PublishedManifest } from "./package-manifests.ts";

const folder = "packages/lifecycle";
const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as PublishedManifest;
const readme = "# It\n\n```sh\nnpm install @uvm-shim/lifecycle\n```\n";
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
    expect(problems({}, "# It\n")).toEqual(['has no line "npm install @uvm-shim/lifecycle" in a block of its own']);
    expect(manifestProblems(folder, { private: true }, "")).toEqual([]);
  });
});
