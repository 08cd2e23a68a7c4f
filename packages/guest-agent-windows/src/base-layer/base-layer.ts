/** The base layer of Windows that the emulated host's containers are made on, kept in the cache. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { startProgram } from "@uvm-shim/child-processes";
import { windowsGuestBoot } from "@uvm-shim/host-protocol/guest";
import { cacheFolder, starterFolder, wineRoot } from "../wine.ts";
import { fixedVhdFooter } from "./vhd-footer.ts";

const script = join(dirname(fileURLToPath(import.meta.url)), "make-base-layer.sh");
/** The 2 counts changes of the recipe, each of which needs a folder of its own. */
const name = "wine-10.1-2";
const agentSource = join(dirname(fileURLToPath(import.meta.url)), "..", "main.ts");
/** Sparse, so that it takes what the empty file system takes. */
const templateBytes = 1024 * 1024 * 1024;

/**
 * The folder of the layer, made when it is not in the cache: some seconds, after Wine. A virtual machine that boots from it
 * runs `agent`, a program of Node, which stays where it is.
 */
export async function baseLayer(agent: string = agentSource): Promise<string> {
  const cache = join(cacheFolder(), "windows-base-layer");
  const starter = join(await starterFolder(), "starter.exe");
  const boot = `${windowsGuestBoot}\nimport(${JSON.stringify(pathToFileURL(agent).href)});\n`;
  const digest = createHash("sha256").update(boot).update(readFileSync(starter)).digest("hex").slice(0, 16);
  const layer = join(cache, `${name}-${digest}`);
  if (existsSync(layer)) return layer;
  mkdirSync(cache, { recursive: true });
  const template = join(cache, `template-${process.pid}.vhdx`);
  const bootFile = join(cache, `boot-${process.pid}`);
  try {
    await makeTemplate(template);
    writeFileSync(bootFile, boot);
    const parameters = [layer, wineRoot(), template, bootFile, starter];
    await run("flock", ["--close", join(cache, "lock"), "sh", script, ...parameters]);
  } finally {
    for (const file of [template, bootFile]) rmSync(file, { force: true });
  }
  return layer;
}

/**
 * An empty disk for what a virtual machine writes. It has the name of a VHDX, and is a fixed VHD with ext4: the emulated
 * host attaches no VHDX, and Linux writes no NTFS.
 */
export async function makeTemplate(path: string, bytes = templateBytes): Promise<void> {
  writeFileSync(path, "");
  truncateSync(path, bytes);
  await run("mkfs.ext4", ["-q", "-F", path]);
  appendFileSync(path, fixedVhdFooter(statSync(path).size));
}

async function run(program: string, parameters: readonly string[]): Promise<void> {
  const child = await startProgram(program, parameters, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${errors.trim()}`);
}
