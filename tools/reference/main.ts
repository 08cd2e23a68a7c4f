/** `npm run reference` writes docs/reference.md; with `--check` it only says whether the file is as it would be written. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../workspace.ts";
import { referenceFile, renderReference } from "./render.ts";

const file = join(root, referenceFile);
const text = renderReference();
if (!process.argv.includes("--check")) writeFileSync(file, text);
else if (readFileSync(file, "utf8") !== text) {
  process.stdout.write(`${referenceFile} is not what the tables say: npm run reference\n`);
  process.exitCode = 1;
}
