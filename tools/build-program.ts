/**
 * Bundles one executable into a single CommonJS file for each system: `node tools/build-program.ts <name>`, run in the
 * package that owns it. The programs and their flavours stand in tools/programs.ts.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bundleProgram } from "./bundle.ts";
import { bundleName, findProgram } from "./programs.ts";

const program = findProgram(process.argv[2] ?? "");
const folder = join(process.cwd(), "dist", "program");
mkdirSync(folder, { recursive: true });
for (const system of program.systems) {
  const result = await bundleProgram(program, system);
  const name = bundleName(program, system);
  writeFileSync(join(folder, `${name}.cjs`), result.code);
  writeFileSync(join(folder, `${name}.meta.json`), JSON.stringify(result.metafile));
}
