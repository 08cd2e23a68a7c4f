/** Wine, which runs Windows executables on Linux: Debian's, unpacked into a cache beside the machine's own packages. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram, mustRun, searchPath } from "@uvm-shim/test-support/command";
import { windowsNode } from "../../tools/targets.ts";
import { machineSource } from "../src/debian/machine-source.ts";
import { cacheFolder } from "../src/support/cache.ts";

/** Programs that Wine's environment is made and run with, each with the Debian package that has it. */
const NEEDED: readonly (readonly [program: string, packageName: string])[] = [
  ["debootstrap", "debootstrap"],
  ["x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"],
  ["ip", "iproute2"],
  ["unshare", "util-linux"],
];
/** The 1 counts changes of the recipe, each of which needs a folder of its own. */
const FOLDER = "wine-10.1";
const SET_UP_MS = 600_000;

const here = dirname(fileURLToPath(import.meta.url));
export const REPOSITORY = dirname(dirname(here));

/** Node for Windows, of the version that runs the tools. */
export const WINDOWS_NODE = join(REPOSITORY, windowsNode);
/** Why Wine cannot be had on this machine; undefined when nothing is known against it. */
export function lackOfWine(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "Wine runs x64 programs on Linux on x64";
  if (process.getuid?.() !== 0) return "root is needed: Wine runs in namespaces and a root folder of its own";
  const missing = NEEDED.filter(([program]) => findProgram(program) === undefined).map(([, name]) => name);
  return missing.length === 0 ? undefined : `missing programs: run apt-get install ${missing.join(" ")}`;
}

/** Whether Wine can be used here and is in the cache already. */
export function hasWine(): boolean {
  return lackOfWine() === undefined && existsSync(join(cacheFolder("wine"), FOLDER));
}

/** The root folder of Wine, made when it is not in the cache: a minute and 2 GB. Whoever comes meanwhile waits. */
export async function wineRoot(): Promise<string> {
  const reason = lackOfWine();
  if (reason !== undefined) throw new Error(`Windows programs cannot be run here: ${reason}`);
  const cache = cacheFolder("wine");
  const root = join(cache, FOLDER);
  if (existsSync(root)) return root;
  const { uri, signedBy } = machineSource(["bookworm", "trixie"]);
  process.stderr.write(`making ${root}: Wine from Debian's packages\n`);
  const setUp = [join(here, "set-up-wine.sh"), root, uri, signedBy ?? ""];
  const isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", ...setUp];
  await mustRun("flock", ["--close", join(cache, "lock"), ...isolated], {
    environment: { ...process.env, PATH: searchPath() },
    timeoutMs: SET_UP_MS,
  });
  return root;
}
