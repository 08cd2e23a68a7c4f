// @ts-check
/** The Linux machine that a command runs on, as far as the bootstrap looks at it and changes it. */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, isAbsolute, join } from "node:path";

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
 * @property {string} system Which packages fit: the distribution with its version, and the processor.
 * @property {string} cache A folder that outlives the checkout.
 * @property {(need: Need, below?: string) => boolean} has Whether it is installed, or is unpacked below a folder.
 * @property {(command: string, args: readonly string[], environment?: { readonly [name: string]: string }) => Promise<Ended>} run
 */

/** @type {{ readonly [manager in Manager]: string }} */
const managers = { apt: "apt-get", dnf: "dnf", apk: "apk", zypper: "zypper" };

/** @param {NodeJS.ProcessEnv} [environment] @returns {Machine} */
export function thisMachine(environment = process.env) {
  const entries = /** @type {[Manager, string][]} */ (Object.entries(managers));
  return {
    isRoot: process.getuid?.() === 0,
    manager: entries.find(([, program]) => findProgram(program, ""))?.[0],
    system: `${distribution()} ${process.arch}`,
    cache: join(homeFolder(environment, "XDG_CACHE_HOME", ".cache"), "uvm-shim"),
    has: ({ programs, library }, below = "") =>
      (programs?.some((program) => findProgram(program, below)) ?? true) &&
      (library === undefined || hasLibrary(library, below)),
    run,
  };
}

/** @type {{ readonly [name: string]: string }} */
const homeFolders = { XDG_CACHE_HOME: ".cache", XDG_DATA_HOME: ".local/share", XDG_STATE_HOME: ".local/state" };

/**
 * Where a home folder cannot be written, or there is none, the variables by which npm, pnpm and we keep in `folder` what
 * they otherwise keep there.
 *
 * @param {NodeJS.ProcessEnv} environment
 * @param {string} folder
 * @returns {{ readonly [name: string]: string }}
 */
export function cachesElsewhere(environment, folder) {
  if (process.platform === "win32") return {};
  const lost = Object.entries(homeFolders).filter(([name, path]) => !isWritable(homeFolder(environment, name, path)));
  // npm tells it to its scripts.
  const npm = environment.npm_config_cache || join(homeOf(environment), ".npm");
  return {
    ...Object.fromEntries(lost.map(([name, path]) => [name, join(folder, path)])),
    ...(isWritable(npm) ? {} : { npm_config_cache: join(folder, ".npm") }),
  };
}

/** As the specification of these variables has it. @param {NodeJS.ProcessEnv} environment @param {string} name @param {string} path */
function homeFolder(environment, name, path) {
  const told = environment[name] ?? "";
  return isAbsolute(told) ? told : join(homeOf(environment), path);
}

/** @param {NodeJS.ProcessEnv} environment */
function homeOf(environment) {
  if (environment.HOME) return environment.HOME;
  try {
    return homedir();
  } catch {
    // A user whom the machine does not know.
    return "/nonexistent";
  }
}

/** Whether a folder can be written, or made. @param {string} folder @returns {boolean} */
function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    return code === "ENOENT" && folder !== "/" && isWritable(dirname(folder));
  }
}

function distribution() {
  try {
    const fields = readFileSync("/etc/os-release", "utf8").matchAll(/^(?:ID|VERSION_ID)=(.*)$/gm);
    return [...fields].map(([, value]) => value).join(" ");
  } catch {
    return "unknown";
  }
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
