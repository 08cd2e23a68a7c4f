import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { giveFreedMemoryBack } from "../../../tools/assemble.ts";
import { DISTRIBUTION } from "./programs.ts";

/**
 * Makes a launcher, in a directory that nobody else may enter, of the shim that ships with a module of the test's loaded
 * before it. What ships has no such interface, since others than the test could use it.
 *
 * @param options of the runtime, each with its value in it.
 */
export function makeLoadedShim(directory: string, module: string, options: readonly string[] = []): string {
  const launcher = join(directory, "containerd-shim-lcow-v2");
  const lib = join(DISTRIBUTION, "lib");
  const all = ["--disable-sigusr1", ...options, `--require=${fileURLToPath(module)}`].join(" ");
  writeFileSync(launcher, `#!/bin/sh\n${giveFreedMemoryBack}\nexec "${lib}/node" ${all} "${lib}/shim-lcow.cjs" "$@"\n`);
  chmodSync(launcher, 0o755);
  return launcher;
}
