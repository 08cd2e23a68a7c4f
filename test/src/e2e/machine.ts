import { existsSync } from "node:fs";
import { join } from "node:path";
import { thisMachine } from "../../../tools/bootstrap/machine.mjs";
import { commandOf, sentence } from "../../../tools/bootstrap/needs.mjs";
import { readProcesses } from "../leaks/holdings.ts";
import { DISTRIBUTION } from "../support/programs.ts";
import type { Runtime } from "./suite.ts";

/** Says what is missing on the machine, before anything is started. */
export function checkMachine(runtime: Runtime): void {
  if (process.getuid?.() !== 0) throw new Error("must run as root: containerd mounts file systems");
  const machine = thisMachine();
  const lacking = commandOf("e2e", []).required.filter((need) => !machine.has(need));
  if (lacking.length > 0) throw new Error(sentence("e2e", lacking, machine));
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
