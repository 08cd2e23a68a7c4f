import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { DISTRIBUTION } from "./programs.ts";

/** The compute system of a sandbox, as the shim names it. */
export function systemOf(namespace: string, sandbox: string): string {
  return `${namespace}-${sandbox}@vm`;
}

/** Has the emulated host stop all that runs in a guest where it stands. */
export async function freezeGuest(system: string): Promise<void> {
  await mustRun(join(DISTRIBUTION, "hcs-emulator"), ["--freeze", system]);
}

export async function thawGuest(system: string): Promise<void> {
  await mustRun(join(DISTRIBUTION, "hcs-emulator"), ["--thaw", system]);
}
