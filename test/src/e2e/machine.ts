import { existsSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "@uvm-shim/test-support/command";
import { readProcesses } from "../leaks/holdings.ts";
import { DISTRIBUTION } from "../support/programs.ts";
import { PACKAGES } from "./packages.ts";
import type { Runtime } from "./suite.ts";

/** Says what is missing on the machine, before anything is started. */
export function checkMachine(runtime: Runtime): void {
  if (process.getuid?.() !== 0) throw new Error("must run as root: containerd mounts file systems");
  const missing = PACKAGES.filter((one) => findProgram(one.program) === undefined).map((one) => one.name);
  if (missing.length > 0) throw new Error(`missing programs: run apt-get install ${missing.join(" ")}`);
  if (runtime.key === "lcow" && !existsSync(join(DISTRIBUTION, runtime.program))) {
    throw new Error(`${join(DISTRIBUTION, runtime.program)} is missing: run npm run build`);
  }
}

/** The serving processes of a runtime's shim for an id, which outlive their short-lived callers. */
export function servingShims(runtime: Runtime, id: string): number[] {
  return readProcesses()
    .filter(({ command }) => command.includes(runtime.serving) && command.split(" ").includes(id))
    .map(({ pid }) => pid);
}
