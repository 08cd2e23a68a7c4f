/** A fresh Debian 12 with Node 20 and npm, and nothing else, on which commands run as on a machine of their own. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type CommandResult, mustRun, searchPath, startCommand } from "@uvm-shim/test-support/command";
import { makeRunFolder, removeRunFolder } from "@uvm-shim/test-support/run-folders";
import { machineSource } from "../debian/machine-source.ts";
import { cacheFolder } from "../support/cache.ts";

const REPOSITORY = join(import.meta.dirname, "..", "..", "..");
const RELEASE = "bookworm";
const NODE = `node-linux-${process.arch}@20`;
const NPM = "npm@10";
/** Changes with the recipe, each of which needs a folder of its own. */
const SYSTEM = `debian-12-node-20-${process.arch}-1`;
const MAKING_MS = 900_000;
const DEFAULT_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const quietly = ["--no-audit", "--no-fund", "--loglevel=error"];

export class BareMachine implements Disposable {
  readonly #system: string;
  readonly #changes = makeRunFolder("uvm-bare-");

  private constructor(system: string) {
    this.#system = system;
  }

  /** A machine with a clean clone of this repository in /work. */
  static async make(log: (message: string) => void): Promise<BareMachine> {
    const machine = new BareMachine(await systemFolder(log));
    try {
      const upper = join(machine.#changes, "upper");
      mkdirSync(upper, { recursive: true });
      await mustRun("git", ["clone", "--quiet", "--no-hardlinks", REPOSITORY, join(upper, "work")]);
      await copyConfiguration(upper);
      return machine;
    } catch (error) {
      machine[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs a command in the clone, and passes on what it prints. */
  async run(
    command: readonly string[],
    options: {
      readonly environment: Readonly<Record<string, string>>;
      readonly timeoutMs: number;
      readonly quiet?: boolean;
    },
  ): Promise<CommandResult> {
    const enter = join(import.meta.dirname, "enter.sh");
    const namespaces = ["--mount", "--pid", "--fork", "--kill-child"];
    const running = startCommand("unshare", [...namespaces, "sh", enter, this.#system, this.#changes, ...command], {
      timeoutMs: options.timeoutMs,
      environment: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: "/root",
        ...networkVariables(),
        ...options.environment,
      },
      input: "",
    });
    if (options.quiet !== true) {
      running.process.stdout?.on("data", (chunk: Buffer) => process.stdout.write(chunk));
      running.process.stderr?.on("data", (chunk: string) => process.stdout.write(chunk));
    }
    return await running.finished;
  }

  [Symbol.dispose](): void {
    removeRunFolder(this.#changes);
  }
}

/** The system as it is fresh, made when it is not in the cache. */
async function systemFolder(log: (message: string) => void): Promise<string> {
  const cache = cacheFolder("bare");
  const system = join(cache, SYSTEM);
  if (existsSync(system)) return system;
  log(`making ${system}: Debian 12 by debootstrap, Node 20 and npm from npm`);
  const work = mkdtempSync(join(cache, ".new-"));
  try {
    const made = join(work, "system");
    const { uri, signedBy } = machineSource([RELEASE, "trixie"]);
    const keyring = signedBy ?? (existsSync(DEFAULT_KEYRING) ? DEFAULT_KEYRING : undefined);
    const options = ["--variant=minbase", ...(keyring === undefined ? [] : [`--keyring=${keyring}`])];
    await mustRun("debootstrap", [...options, RELEASE, made, uri], {
      environment: { ...process.env, PATH: searchPath() },
      timeoutMs: MAKING_MS,
    });
    await installNode(join(work, "npm"), made);
    renameSync(made, system);
    return system;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function installNode(folder: string, system: string): Promise<void> {
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{"private":true}\n');
  await mustRun("npm", ["install", "--ignore-scripts", "--no-package-lock", ...quietly, NODE, NPM], {
    directory: folder,
    timeoutMs: MAKING_MS,
  });
  const modules = join(folder, "node_modules");
  cpSync(join(modules, `node-linux-${process.arch}`, "bin", "node"), join(system, "usr", "bin", "node"));
  mkdirSync(join(system, "usr", "lib", "node_modules"));
  cpSync(join(modules, "npm"), join(system, "usr", "lib", "node_modules", "npm"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  for (const [name, program] of [
    ["npm", "npm-cli.js"],
    ["npx", "npx-cli.js"],
  ] as const) {
    symlinkSync(join("..", "lib", "node_modules", "npm", "bin", program), join(system, "usr", "bin", name));
  }
}

/** How this machine reaches the registries: configuration of the network, of npm and of apt. */
async function copyConfiguration(upper: string): Promise<void> {
  const settings = ["userconfig", "globalconfig", "cafile"];
  const printed = await Promise.all(settings.map((name) => mustRun("npm", ["config", "get", name])));
  const [user = "", global = "", authorities = ""] = printed.map((text) => text.trim());
  const copies: readonly (readonly [from: string, to: string])[] = [
    ...["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"].map((path) => [path, path] as const),
    ...["apt.conf.d", "auth.conf.d"].map((name) => [`/etc/apt/${name}`, `/etc/apt/${name}`] as const),
    [user, "/root/.npmrc"],
    [global, "/usr/etc/npmrc"],
    [authorities, authorities],
    ...[process.env.NODE_EXTRA_CA_CERTS ?? ""].map((path) => [path, path] as const),
  ];
  for (const [from, to] of copies) {
    if (from === "" || from === "null" || !existsSync(from)) continue;
    mkdirSync(dirname(join(upper, to)), { recursive: true });
    cpSync(from, join(upper, to), { recursive: true, dereference: true });
  }
}

/** The variables by which this machine reaches the registries. */
function networkVariables(): Record<string, string> {
  const names = ["NODE_EXTRA_CA_CERTS", ...proxyVariables];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

const proxyVariables = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

/** Whether this machine has a proxy of its own, which a meter would go around. */
export function hasProxy(): boolean {
  return proxyVariables.some((name) => process.env[name]);
}
