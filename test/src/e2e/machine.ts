import { existsSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "@uvm-shim/test-support/command";
import { readProcesses } from "../leaks/holdings.ts";
import { DISTRIBUTION } from "../support/programs.ts";
import { PACKAGES } from "./packages.ts";
import type { Runtime } from "./suite.ts";

/** Says what is missing on the machine, before anything is started. */
export function checkMachine(runtime: Runtime): void {
  if (process.getuid?.() !== 0) throw new Error("this needs root: it runs containerd, which mounts");
  const missing = PACKAGES.filter((one) => findProgram(one.program) === undefined).map((one) => one.name);
  if (missing.length > 0) throw new Error(`programs are missing: apt-get install ${missing.join(" ")}`);
  if (runtime.key === "lcow" && !existsSync(join(DISTRIBUTION, runtime.program))) {
    throw new Error(`${join(DISTRIBUTION, runtime.program)} is missing: npm run build makes it`);
  }
}

/** The serving processes of a runtime's shim for an id: told from its short-lived callers by living on. */
export function servingShims(runtime: Runtime, id: string): number[] {
  return readProcesses()
    .filter(({ command }) => command.includes(runtime.serving) && command.split(" ").includes(id))
    .map(({ pid }) => pid);
}
