/**
 * Bundles one executable into a single CommonJS file: `node tools/build-program.ts <name>`, run in the package that
 * owns it. The programs and their flavours stand in tools/programs.ts.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bundleProgram } from "./bundle.ts";
import { findProgram } from "./programs.ts";

const program = findProgram(process.argv[2] ?? "");
const result = await bundleProgram(program);
const folder = join(process.cwd(), "dist", "program");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, `${program.name}.cjs`), result.code);
writeFileSync(join(folder, `${program.name}.meta.json`), JSON.stringify(result.metafile));
