import { mustRun } from "@uvm-shim/test-support/command";

const installTimeoutMs = 600_000;

/** Installs what the folder's manifest names, and these packages; what npm says is in the error if it fails. */
export async function installWithNpm(folder: string, packages: readonly string[] = []): Promise<void> {
  const quietly = ["--no-audit", "--no-fund", "--loglevel=error"];
  await mustRun("npm", ["install", ...packages, ...quietly], { directory: folder, timeoutMs: installTimeoutMs });
}
