import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeCounts } from "./counts.ts";
import { root } from "./workspace.ts";

const script = readFileSync(join(root, ".ci/run"), "utf8");

/** What `.ci/run` looks for, which `grep -E` and JavaScript read alike. */
function patternOfCi(): RegExp {
  const pattern = /grep -E '(.* passed.*)' /.exec(script)?.[1];
  if (pattern === undefined) throw new Error(".ci/run looks for no line of counts");
  return new RegExp(pattern);
}

test.each([
  { passed: 77, failed: 0 },
  { passed: 75, failed: 0, skipped: 2 },
  { passed: 0, failed: 1, skipped: 0 },
])("%o is told in a line that .ci/run finds", (counts) => {
  expect(describeCounts(counts)).toMatch(patternOfCi());
});

test("no suite tells its counts in words of its own, which .ci/run would not find", () => {
  const folders = ["test/src", "test/windows-host", "tools"].map((folder) => join(root, folder));
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)),
  );
  const sources = files.filter((file) => /\.m?ts$|\.mjs$/.test(file) && !/\.test\.ts$|tools\/counts\.ts$/.test(file));
  const telling = sources.filter((file) => /(\$\{[^}]*\}|\d) passed,/.test(readFileSync(file, "utf8")));
  expect(sources.length).toBeGreaterThan(100);
  expect(telling).toEqual([]);
});
