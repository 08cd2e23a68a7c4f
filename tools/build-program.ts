/**
 * Bundles one executable into a single CommonJS file for each system: `node tools/build-program.ts <name>`, as the package
 * that owns it does when turbo builds it. The programs and their flavours stand in tools/programs.ts.
 */
import { writeBundles } from "./bundle.ts";
import { findProgram } from "./programs.ts";

const program = findProgram(process.argv[2] ?? "");
await writeBundles(program, program.systems);
