import { readFileSync } from "node:fs";
import type { Answer } from "./answer.ts";
import { answerTo, type DocumentCase } from "./answers.ts";
import { parseWhole, writeWhole } from "./number-text.ts";

const [file] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write("usage: node test/src/documents/wcow.ts CASES.json\n");
  process.exitCode = 2;
} else {
  const cases = parseWhole(readFileSync(file, "utf8")) as readonly DocumentCase[];
  const answers: [string, Answer][] = [];
  for (const asked of cases) answers.push([asked.name, await answerTo(asked)]);
  process.stdout.write(`${writeWhole(Object.fromEntries(answers))}\n`);
}
