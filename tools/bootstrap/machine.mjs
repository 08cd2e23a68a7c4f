// @ts-check
/** The Linux machine that a command runs on, as far as the bootstrap looks at it and changes it. */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";

const systemFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const triplets = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

/**
 * @typedef {import("./needs.mjs").Manager} Manager
 * @typedef {import("./needs.mjs").Need} Need
 * @typedef {{ readonly status: number, readonly output: string }} Ended
 *
 * @typedef {object} Machine
 * @property {boolean} isRoot
 * @property {Manager | undefined} manager
 * @property {string} cache A folder that outlives the checkout.
 * @property {(need: Need, below?: string) => boolean} has Whether it is installed, or is unpacked below a folder.
 * @property {(command: string, args: readonly string[], environment?: { readonly [name: string]: string }) => Promise<Ended>} run
 */

/** @type {{ readonly [manager in Manager]: string }} */
const managers = { apt: "apt-get", dnf: "dnf", apk: "apk", zypper: "zypper" };

/** @returns {Machine} */
export function thisMachine() {
  const environment = process.env;
  const entries = /** @type {[Manager, string][]} */ (Object.entries(managers));
  return {
    isRoot: process.getuid?.() === 0,
    manager: entries.find(([, program]) => findProgram(program, ""))?.[0],
    cache: join(environment.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "uvm-shim"),
    has: ({ programs, library }, below = "") =>
      (programs?.some((program) => findProgram(program, below)) ?? true) &&
      (library === undefined || hasLibrary(library, below)),
    run,
  };
}

/** Folders with programs and libraries of a tree like the system's, for PATH and LD_LIBRARY_PATH. @param {string} tree */
export function foldersOf(tree) {
  return {
    programs: ["usr/sbin", "usr/bin"].map((folder) => join(tree, folder)),
    libraries: libraryFolders().map((folder) => join(tree, folder)),
  };
}

function libraryFolders() {
  const triplet = triplets[/** @type {keyof typeof triplets} */ (process.arch)];
  return [`/usr/lib/${triplet}`, "/usr/lib64", "/usr/lib"];
}

/** @param {string} name @param {string} below */
function findProgram(name, below) {
  const own = below === "" ? (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "") : [];
  const paths = isAbsolute(name) ? [name] : [...own, ...systemFolders].map((folder) => join(folder, name));
  return paths.some((path) => isExecutable(join(below, path)));
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name @param {string} below */
function hasLibrary(name, below) {
  const folders = [...libraryFolders(), "/lib64", "/lib"];
  if (folders.some((folder) => existsSync(join(below, folder, name)))) return true;
  if (below !== "") return false;
  const listed = spawnSync("ldconfig", ["-p"], { encoding: "utf8", env: { PATH: systemFolders.join(delimiter) } });
  return listed.status === 0 && listed.stdout.includes(`\t${name} `);
}

/** @type {Machine["run"]} */
function run(command, args, environment = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C", ...environment },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.once("error", (error) => resolve({ status: 127, output: error.message }));
    child.once("close", (code) => resolve({ status: code ?? 128, output }));
  });
}

/** @param {string} folder */
export function makeFolder(folder) {
  mkdirSync(folder, { recursive: true });
  return folder;
}
