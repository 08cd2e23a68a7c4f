/** Layers of Windows containers, as containerd's windows snapshotter unpacks them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { baseLayer } from "@uvm-shim/guest-agent-windows";
import { compileForWindows } from "../../windows-host/compile.ts";
import { REPOSITORY } from "../../windows-host/wine-environment.ts";
import { PATTERN, pattern } from "../e2e/images.ts";

const probe = join(REPOSITORY, "packages/guest-agent-windows/src/testing/probe.c");
const guestProgram = fileURLToPath(new URL("../e2e/windows/guest-program.c", import.meta.url));

/** A layer with the suites' programs and a large file, on one of Windows; the topmost first. */
export async function makeWindowsLayers(directory: string): Promise<readonly string[]> {
  const files = join(directory, "programs", "Files");
  const large = join(files, PATTERN.path);
  mkdirSync(dirname(large), { recursive: true });
  await compileForWindows([probe], join(files, "probe.exe"), ["-municode"]);
  await compileForWindows([guestProgram], join(files, "guest-program.exe"), ["-municode", "-liphlpapi"]);
  writeFileSync(large, pattern(PATTERN.size));
  return [join(directory, "programs"), await baseLayer()];
}
