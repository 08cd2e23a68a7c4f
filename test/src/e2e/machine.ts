import { existsSync } from "node:fs";
import { join } from "node:path";
import { thisMachine } from "../../../tools/bootstrap/machine.mjs";
import { commandOf, sentence } from "../../../tools/bootstrap/needs.mjs";
import { readProcesses } from "../leaks/holdings.ts";
import type { GuestKind } from "../support/guest-kind.ts";
import { DISTRIBUTION, VM_BOOT_FILES } from "../support/programs.ts";
import type { Runtime } from "./suite.ts";

/** Says what is missing on the machine, before anything is started. */
export function checkMachine(runtime: Runtime, kind: GuestKind = "process"): void {
  if (process.getuid?.() !== 0) throw new Error("must run as root: containerd mounts file systems");
  const machine = thisMachine();
  const task = kind === "qemu" ? "e2e:vm" : "e2e";
  const lacking = commandOf(task, []).required.filter((need) => !machine.has(need));
  if (lacking.length > 0) throw new Error(sentence(task, lacking, machine));
  if (runtime.key === "lcow" && !existsSync(join(DISTRIBUTION, runtime.program))) {
    throw new Error(`${join(DISTRIBUTION, runtime.program)} is missing: run npm run build`);
  }
  const bootFiles = join(DISTRIBUTION, VM_BOOT_FILES);
  if (kind === "qemu" && !existsSync(join(bootFiles, "kernel")))
    throw new Error(`${bootFiles} has no boot files of virtual machines: run npm run boot-files`);
}

/** The serving processes of a runtime's shim for an id, which outlive their short-lived callers. */
export function servingShims(runtime: Runtime, id: string): number[] {
  return readProcesses()
    .filter(({ command }) => command.includes(runtime.serving) && command.split(" ").includes(id))
    .map(({ pid }) => pid);
}
