import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { root } from "../workspace.ts";

const folder = mkdtempSync(join(tmpdir(), "circles-"));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function lint(modules: Readonly<Record<string, string>>): { readonly status: number | null; readonly output: string } {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "biome.json"), JSON.stringify({ extends: [join(root, "biome.json")] }));
  for (const [name, source] of Object.entries(modules)) writeFileSync(join(folder, name), source);
  const args = ["lint", "--only=suspicious/noImportCycles", "--vcs-enabled=false", "--colors=off"];
  const { status, stdout, stderr } = spawnSync(join(root, "node_modules/.bin/biome"), args, {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

it("the linter rejects a circle of imports, even of types only", () => {
  const { status, output } = lint({
    "a.ts": 'import type { B } from "./b.ts";\n\nexport interface A {\n  readonly b?: B;\n}\n',
    "b.ts": 'import type { A } from "./a.ts";\n\nexport interface B {\n  readonly a?: A;\n}\n',
  });
  expect(output).toContain("This import is part of a cycle");
  expect(status).toBe(1);
});

it("the linter accepts imports without a circle", () => {
  const { status, output } = lint({
    "a.ts": 'import type { B } from "./b.ts";\n\nexport interface A {\n  readonly b?: B;\n}\n',
    "b.ts": "export interface B {\n  readonly a?: number;\n}\n",
  });
  expect(output).not.toContain("cycle");
  expect(status).toBe(0);
});
