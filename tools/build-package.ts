/** Compiles the package in the current folder to dist/, as it is published: JavaScript and declarations. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";

rmSync("dist", { recursive: true, force: true });
const compiled = spawnSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
const generated = join("src", "generated");
if (existsSync(generated)) cpSync(generated, join("dist", "generated"), { recursive: true });
