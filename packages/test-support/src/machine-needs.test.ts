import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it, vi } from "vitest";
import { describeWith, itWith, lackOf } from "./machine-needs.ts";

afterEach(() => vi.restoreAllMocks());

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const own = "packages/test-support/src/machine-needs.ts";
/** vitest's ways to leave a test out, of which none prints why. */
const silent =
  /\.(?:runIf|skipIf|todo)\(|\b(?:it|test|describe|context|ctx)\.skip\(|\? (?:it|describe|test)(?:\.\w+)? :/;

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory() && entry.name !== "node_modules" && entry.name !== "dist") yield* sources(path);
    else if (entry.isFile() && path.endsWith(".ts") && path !== own) yield path;
  }
}

it("tests are skipped only when the machine does not meet a need, which is printed", () => {
  const files = ["packages", "apps", "test", "tools"].flatMap((folder) => [...sources(folder)]);
  expect(files.length).toBeGreaterThan(500);
  const offenders = files.filter((path) => silent.test(readFileSync(join(root, path), "utf8")));
  expect(offenders).toEqual([]);
});

it("prints what is skipped and why", () => {
  const warn = vi.spyOn(console, "warn").mockReturnValue(undefined);
  vi.spyOn(process, "platform", "get").mockReturnValue("sunos");
  expect(lackOf("Linux")).toBe(`Linux: it is sunos on ${process.arch}`);
  expect(describeWith("Linux")).not.toBe(describeWith());
  expect(itWith("a thing of Linux", "Linux on x64")).not.toBe(itWith("anything"));
  expect(warn.mock.calls).toEqual([
    [`skipped, since this machine lacks Linux: it is sunos on ${process.arch}`],
    [`"a thing of Linux" skipped, since this machine lacks Linux on x64: it is sunos on ${process.arch}`],
  ]);
});
