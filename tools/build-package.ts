/** Compiles the package in the current folder to dist/, as it is published: JavaScript and declarations. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

rmSync("dist", { recursive: true, force: true });
const compiled = spawnSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
const generated = join("src", "generated");
if (existsSync(generated)) cpSync(generated, join("dist", "generated"), { recursive: true });

/** What @types/node declares. The compiler takes these types only into programs that refer to it. */
const nodeTypes = /"node:|\b(?:Buffer|NodeJS\.|AbortSignal|AbortController)\b/;
for (const file of globSync("dist/**/*.d.ts")) {
  const declarations = readFileSync(file, "utf8");
  if (nodeTypes.test(declarations)) writeFileSync(file, `/// <reference types="node" />\n${declarations}`);
}

const { publishConfig = {} } = JSON.parse(readFileSync("package.json", "utf8"));
for (const program of Object.values<string>(publishConfig.bin ?? {})) {
  writeFileSync(program, `#!/usr/bin/env node\n${readFileSync(program, "utf8")}`);
  // In a source map a semicolon ends a line.
  const map = JSON.parse(readFileSync(`${program}.map`, "utf8"));
  writeFileSync(`${program}.map`, JSON.stringify({ ...map, mappings: `;${map.mappings}` }));
}
