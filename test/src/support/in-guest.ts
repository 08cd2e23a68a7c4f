/** A look into the one VM of a case, as a process of its guest has it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { guestInit } from "./guest-init.ts";
import { COMMAND_MS, guestKind } from "./guest-kind.ts";
import { DIAGNOSIS_TOOL } from "./programs.ts";

/** The pod that has the VM. */
async function runningPod(): Promise<string> {
  const listed = JSON.parse(await mustRun(DIAGNOSIS_TOOL, ["list", "--json"])) as readonly {
    readonly namespace: string;
    readonly id: string;
    readonly state: string;
  }[];
  const [pod, ...others] = listed.filter(({ state }) => state === "running");
  if (pod === undefined || others.length > 0) {
    throw new Error(`expected one running pod, and there are: ${listed.map(({ id, state }) => `${id} (${state})`)}`);
  }
  return `${pod.namespace}/${pod.id}`;
}

/** Runs a program of the VM itself, as root; its output. */
export async function runInGuest(...command: readonly string[]): Promise<string> {
  return await mustRun(DIAGNOSIS_TOOL, ["exec", await runningPod(), "--", ...command], { timeoutMs: COMMAND_MS });
}

/** A file of the guest. */
export async function readInGuest(path: string): Promise<string> {
  if (guestKind === "qemu") return (await runInGuest("cat", path)).trim();
  return readFileSync(join("/proc", guestInit(), "root", path), "utf8").trim();
}
