import { spawnSync } from "node:child_process";
import { root } from "./workspace.ts";

/** The variable that takes the commit to tasks of turbo; packagers without a repository set it themselves. */
export const commitVariable = "UVM_SHIM_COMMIT";

/** The commit that programs are built from; with `.m`, as containerd marks it, when files differ from it. */
export function sourceCommit(env: NodeJS.ProcessEnv = process.env, folder = root): string {
  const told = env[commitVariable];
  if (told !== undefined && told !== "") return told;
  const commit = git(folder, ["rev-parse", "--verify", "HEAD"]);
  if (commit === undefined) return "unknown";
  return git(folder, ["status", "--porcelain"]) === "" ? commit : `${commit}.m`;
}

function git(folder: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync("git", args, { cwd: folder, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}
