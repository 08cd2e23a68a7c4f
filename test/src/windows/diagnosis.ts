/** Run under Wine: calls uvm-diag as people do, by its launcher. */
import { copyFileSync, mkdirSync } from "node:fs";
import path from "node:path";
import { type CommandResult, runCommand } from "@uvm-shim/test-support/command";
import { casePaths } from "./case-paths.ts";
import { namespace, type ShimProcess } from "./shim-process.ts";

/** The folder in which uvm-diag looks for what containerd and shims keep. */
export function programData(): string {
  return path.join(casePaths().directory, "ProgramData");
}

export function diagnose(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const launcher = path.join(casePaths().executables, "uvm-diag.cmd");
  return runCommand("cmd.exe", ["/d", "/c", launcher, ...args], {
    environment: { ...process.env, ProgramData: programData(), UVM_DIAG_NODE: process.execPath, ...environment },
  });
}

/** Puts what a shim keeps in its bundle where containerd's bundles are. */
export function showBundle({ id, bundle }: ShimProcess): void {
  const state = path.join("containerd", "state", "io.containerd.runtime.v2.task");
  const folder = path.join(programData(), state, namespace, id);
  mkdirSync(folder, { recursive: true });
  copyFileSync(path.join(bundle, "uvm-shim.json"), path.join(folder, "uvm-shim.json"));
}
