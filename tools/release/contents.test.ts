import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { describe, expect, it } from "vitest";
import { bundleProgram } from "../bundle.ts";
import { root } from "../workspace.ts";
import { contentsOf, foldersInBundle, foreignComponents } from "./components.ts";
import { noticesOf } from "./notices.ts";
import { billOf } from "./sbom.ts";
import { programsOf, targets } from "./targets.ts";

interface Bill {
  readonly components: readonly {
    readonly name: string;
    readonly version?: string;
    readonly purl?: string;
    readonly licenses?: readonly object[];
    readonly components?: readonly { readonly name: string }[];
  }[];
}

describe("modules in a bundle", () => {
  it("belong to packages of ours and of others, if they contribute bytes", () => {
    const inputs = {
      "packages/shim/src/index.ts": { bytesInOutput: 2 },
      "packages/ttrpc/src/index.ts": { bytesInOutput: 0 },
      "node_modules/.pnpm/@a+b@1/node_modules/@a/b/lib/x.js": { bytesInOutput: 1 },
    };
    expect(foldersInBundle({ outputs: { "a.cjs": { inputs } } })).toEqual([
      "node_modules/.pnpm/@a+b@1/node_modules/@a/b",
      "packages/shim",
    ]);
  });

  it("are an error where they belong to none", () => {
    const inputs = { "tools/x.ts": { bytesInOutput: 1 } };
    expect(() => foldersInBundle({ outputs: { "a.cjs": { inputs } } })).toThrow("tools/x.ts is in a bundle");
  });
});

/** Node of other systems is fetched for a release only; what is asked here is the same for all. */
describe.each(targets.filter(({ name }) => name === `linux-${process.arch}`))("the contents of $name", (target) => {
  const folder = mkdtempSync(join(tmpdir(), "contents-"));
  for (const file of [target.nodeFile ?? "", ...target.addonFiles]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), file);
  }
  const contents = contentsOf(target);
  const release = { name: "uvm-shim-1.2.3", version: "1.2.3", commit: "abc", date: new Date(0), folder };

  /** What esbuild says is in the bundles, read anew. */
  const bundled = async (): Promise<readonly { readonly name: string; readonly version: string }[]> => {
    const facts = await Promise.all(programsOf(target).map((program) => bundleProgram(program, target.system)));
    const folders = new Set(facts.flatMap(({ metafile }) => foldersInBundle(metafile)));
    return [...folders].map((each) => JSON.parse(readFileSync(join(root, each, "package.json"), "utf8")));
  };

  it("are all in the bill of materials, which is valid", async () => {
    const text = billOf(await contents, release);
    expect(await new JsonStrictValidator(Version.v1dot6).validate(text)).toBeNull();
    const { components } = JSON.parse(text) as Bill;
    const listed = components.map(({ name, version }) => `${name} ${version}`);
    const expected = (await bundled()).map(({ name, version }) => `${name} ${version}`);
    expect(listed).toEqual(expect.arrayContaining(expected));
    const others = components.filter(({ name }) => !expected.some((each) => each.startsWith(`${name} `)));
    const beside = [`node-${target.name}`, `@koromix/koffi-${target.name}`, "node-addon-api", "node-api-headers"];
    expect(others.map(({ name }) => name).sort()).toEqual(beside.sort());
    for (const { name, licenses } of components) expect(licenses, name).toHaveLength(1);
    const node = components.find(({ name }) => name === `node-${target.name}`);
    expect(node?.components?.map(({ name }) => name)).toEqual(expect.arrayContaining(["v8", "uv", "openssl", "zlib"]));
  });

  it("are told the same way each time", async () => {
    expect(billOf(await contents, release)).toBe(billOf(await contentsOf(target), release));
  });

  it("have the licence of everything that is not ours in the notices", async () => {
    const notices = noticesOf(await contents);
    const foreign = (await bundled()).filter(({ name }) => !name.startsWith("@uvm-shim/"));
    expect(foreign).not.toEqual([]);
    for (const { name, version } of foreign) expect(notices).toContain(`\n${name} ${version}\n====`);
    for (const { name, licenseTexts } of foreignComponents(await contents)) {
      for (const text of licenseTexts) expect(notices, name).toContain(text);
    }
    expect(notices).toContain("Node.js is licensed for use as follows");
    expect(notices).not.toContain("@uvm-shim/");
  });
});
