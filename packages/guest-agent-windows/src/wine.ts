/** Wine, and the starter made for it: where they are on this machine, or what is missing. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { startProgram } from "@uvm-shim/child-processes";

/** Of the starter. */
const sources = join(dirname(fileURLToPath(import.meta.url)), "starter");
const compiler = "x86_64-w64-mingw32-gcc";
const compilerOptions = ["-std=c17", "-O2", "-Wall", "-Wextra", "-Werror"];

/** Holds what outlives runs, outside of the repository. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "uvm-shim");
}

/** The root folder of a Linux with Wine, which the tests on Windows executables have made. */
export function wineRoot(): string {
  const root = join(cacheFolder(), "wine", "wine-10.1");
  if (existsSync(root)) return root;
  throw new Error(`Windows containers need Wine in ${root}: run npm run e2e:windows once, which fetches it`);
}

/** The folder with starter.exe, compiled when it is not in the cache. */
export async function starterFolder(): Promise<string> {
  const files = readdirSync(sources)
    .toSorted()
    .map((name) => join(sources, name));
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  const digest = hash.digest("hex").slice(0, 16);
  const folder = join(cacheFolder(), "windows-starter", digest);
  const program = join(folder, "starter.exe");
  if (existsSync(program)) return folder;
  mkdirSync(folder, { recursive: true });
  // Others may compile it meanwhile.
  const mine = join(folder, `starter-${process.pid}.exe`);
  await compile(mine, [...files.filter((file) => file.endsWith(".c")), "-municode", "-lpsapi"]);
  renameSync(mine, program);
  return folder;
}

/** Compiles C for Windows. */
export async function compile(output: string, parameters: readonly string[]): Promise<void> {
  const child = await startProgram(compiler, [...compilerOptions, "-o", output, ...parameters], {
    stdio: ["ignore", "ignore", "pipe"],
  }).catch((cause: unknown) => {
    throw new Error(`${compiler} cannot be started: run apt-get install gcc-mingw-w64-x86-64`, { cause });
  });
  let errors = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${compiler} ended with ${code}: ${errors.trim()}`);
}
