/** What `start` checks before it does anything: a mistake is easier to find here than in a shim that serves. */
import { lstatSync } from "node:fs";
import path from "node:path";
import { messageOf } from "@uvm-shim/lifecycle";
import { checkEnvironment } from "./environment.ts";
import type { ShimFlags } from "./flags.ts";
import { Refusal } from "./refusal.ts";
import type { ShimOptions } from "./shim-options.ts";

type Environment = NodeJS.ProcessEnv;

/** Throws a Refusal that names what is wrong, its value and what is expected. */
export async function checkCaller(flags: ShimFlags, options: ShimOptions, env: Environment): Promise<void> {
  if (flags.address === "") throw new Refusal(`flag -address is missing, expected ${expectedAddress}`);
  for (const [subject, value] of [
    ["flag -address", flags.address],
    ["environment variable TTRPC_ADDRESS", env.TTRPC_ADDRESS],
    ["environment variable GRPC_ADDRESS", env.GRPC_ADDRESS],
  ] as const) {
    if (value === undefined || value === "" || addressPattern.test(value)) continue;
    throw new Refusal(`${subject} is ${JSON.stringify(value)}, expected ${expectedAddress}`);
  }
  checkEnvironment(env);
  try {
    if (Object.keys(env).some((name) => name.startsWith("UVM_SHIM_HOST"))) await options.checkHost?.(env);
  } catch (error) {
    throw new Refusal(messageOf(error), { cause: error });
  }
}

const expectedAddress =
  process.platform === "win32"
    ? String.raw`containerd's pipe, such as \\.\pipe\containerd-containerd`
    : "the absolute path of containerd's socket, such as /run/containerd/containerd.sock";
const addressPattern = process.platform === "win32" ? /^(\\\\[^\\]+\\pipe\\|npipe:\/\/)./i : /^(unix:\/\/)?\/./;

/**
 * Refuses a folder in which no container or sandbox was prepared. For a sandbox containerd may pass nothing on standard
 * input and write no config.json, but it makes the link `work` in every bundle.
 */
export function checkBundle(
  bundle: string,
  { id }: ShimFlags,
  given: { readonly hasConfiguration: boolean; readonly hasInput: boolean },
): void {
  if (given.hasConfiguration || given.hasInput || isLink(path.join(bundle, "work"))) return;
  const lacks = "it has no config.json, and standard input names no sandbox";
  throw new Refusal(
    `start ${id}: ${bundle} is not a bundle: ${lacks}. containerd makes a bundle and starts this program in it`,
  );
}

function isLink(file: string): boolean {
  try {
    return lstatSync(file).isSymbolicLink();
  } catch {
    return false;
  }
}
