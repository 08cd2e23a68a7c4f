import { readFileSync } from "node:fs";
import { answersTo, type DocumentCase } from "./answers.ts";
import { parseWhole, writeWhole } from "./number-text.ts";

const [file] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write("usage: node test/src/documents/wcow.ts CASES.json\n");
  process.exitCode = 2;
} else {
  const cases = parseWhole(readFileSync(file, "utf8")) as readonly DocumentCase[];
  process.stdout.write(`${writeWhole(await answersTo(cases))}\n`);
}
