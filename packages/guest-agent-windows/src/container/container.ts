/** A Windows container under Wine: namespaces of its own, with a drive C: of layers, a registry and a network. */
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type ChildProcess, type SpawnOptions, startProgram } from "@uvm-shim/child-processes";
import type { ProgramStart } from "./frames.ts";
import { WindowsProgram } from "./program.ts";
import { enterGroups, enterScript, initScript } from "./scripts.ts";

export type StartProgram = (
  command: string,
  parameters: readonly string[],
  options: SpawnOptions,
) => Promise<ChildProcess>;

/** What a container finds on its drive C:. */
export type ContainerDrive =
  /** The folders that it is made of, topmost first, and what the container writes, which must not be on an overlay. */
  | { readonly kind: "layers"; readonly layers: readonly string[]; readonly scratch: string }
  /** A folder as it is, with what is mounted in it. */
  | { readonly kind: "folder"; readonly folder: string };

export type ContainerNetwork =
  /** A network of its own, with nothing in it. */
  | { readonly kind: "own" }
  /** That of whoever starts it. */
  | { readonly kind: "shared" }
  /** The network namespace at this path. */
  | { readonly kind: "joined"; readonly path: string };

export interface ContainerParts {
  /** An empty folder for what the container has beside its scratch; the caller removes it after the end. */
  readonly folder: string;
  /** The root folder of a Linux with Wine in it, whose prefix is /windows. */
  readonly wineRoot: string;
  /** The folder with `starter.exe`. */
  readonly starterFolder: string;
  readonly drive: ContainerDrive;
  /** COMPUTERNAME is its first 15 characters, in capitals. */
  readonly hostName: string;
  readonly userName: string;
  readonly network?: ContainerNetwork;
  /** A folder with `localtime`, `resolv.conf`, `registry` (to be added to that of the machine) and `meminfo`, each if need be. */
  readonly files?: string;
  /** The folder of the VSMB shares, for a container that finds them by their own paths. */
  readonly shares?: string;
  /** Files that take the ids of processes, by which they enter control groups. */
  readonly entrances?: readonly string[];
  /** How programs of Linux are started. */
  readonly start?: StartProgram;
}

export interface ContainerProgram extends ProgramStart {
  /** Without its domain; by default the container's. */
  readonly userName?: string;
}

const settled = "settled\n";

export class WindowsContainer {
  /** Resolves when nothing runs in it any more. */
  readonly ended: Promise<void>;
  readonly #parts: ContainerParts;
  readonly #init: ChildProcess;

  private constructor(parts: ContainerParts, init: ChildProcess) {
    this.#parts = parts;
    this.#init = init;
    this.ended = once(init, "close").then(() => {});
  }

  static async start(parts: ContainerParts): Promise<WindowsContainer> {
    const { drive } = parts;
    const layers = drive.kind === "layers" ? drive.layers : [];
    for (const folder of drive.kind === "layers" ? [...layers, drive.scratch] : []) requireOverlayPath(folder);
    mkdirSync(join(parts.folder, "work"));
    const settings = [
      join(parts.folder, "work"),
      parts.wineRoot,
      parts.starterFolder,
      layers.join(":"),
      drive.kind === "layers" ? drive.scratch : drive.folder,
      parts.hostName,
      parts.userName,
      parts.files ?? "",
      parts.shares ?? "",
    ];
    const { kind } = parts.network ?? { kind: "own" };
    const namespaces = ["--mount", "--pid", "--ipc", "--uts", ...(kind === "own" ? ["--net"] : [])];
    const unshare = ["unshare", ...namespaces, "--propagation", "slave", "--fork", "--kill-child=KILL"];
    const init = await startInGroups(
      parts,
      [
        ...(parts.network?.kind === "joined" ? ["nsenter", `--net=${parts.network.path}`] : []),
        ...unshare,
        ...shell(initScript, settings),
      ],
      ["pipe", "pipe", "pipe"],
    );
    init.stdin?.on("error", () => {});
    const container = new WindowsContainer(parts, init);
    const said = await saidAtStart(init);
    if (said.output === settled) return container;
    throw new Error(`a Windows container cannot be made: ${said.errors.trim() || "Wine did not start"}`);
  }

  /** A process in its namespaces but that of processes. */
  get pid(): number {
    return this.#init.pid ?? 0;
  }

  /** Its drive C:, in its own mount namespace. */
  get drive(): string {
    return join(this.#parts.folder, "work", "root", "windows", "drive_c");
  }

  /** Throws a WindowsError when Windows does not start it. */
  async run(program: ContainerProgram): Promise<WindowsProgram> {
    return await WindowsProgram.start(await this.startStarter(program.userName ?? this.#parts.userName, []), program);
  }

  /** Starts the starter, which does what its arguments say, for a user of the container. */
  async startStarter(userName: string, parameters: readonly string[]): Promise<ChildProcess> {
    const enter = ["--mount", "--net", "--ipc", "--uts", `--pid=/proc/${this.pid}/ns/pid_for_children`];
    const work = join(this.#parts.folder, "work");
    const settings = [join(work, "root"), userName, join(work, "upper", "wine.log"), ...parameters];
    const own = ["unshare", "--mount", "--propagation", "slave", ...shell(enterScript, settings)];
    const command = ["nsenter", "--target", `${this.pid}`, ...enter, ...own];
    return await startInGroups(this.#parts, command, ["pipe", "pipe", "ignore"]);
  }

  /** Ends everything that runs there. */
  async end(): Promise<void> {
    if (this.#init.exitCode === null && this.#init.signalCode === null) this.#init.stdin?.end();
    await this.ended;
  }
}

function shell(script: string, parameters: readonly string[]): readonly string[] {
  return ["sh", "-c", script, "sh", ...parameters];
}

async function startInGroups(
  { entrances = [], start = startProgram }: ContainerParts,
  command: readonly string[],
  stdio: SpawnOptions["stdio"],
): Promise<ChildProcess> {
  const parameters = shell(enterGroups, [...entrances, "--", ...command]).slice(1);
  return await start("sh", parameters, { cwd: "/", env: environment(), ...(stdio !== undefined && { stdio }) });
}

/** What the first process writes until it says that it has settled, or ends. */
async function saidAtStart({ stdout, stderr }: ChildProcess): Promise<{ output: string; errors: string }> {
  const said = { output: "", errors: "" };
  stderr?.setEncoding("utf8").on("data", (text: string) => {
    said.errors += text;
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  stdout?.setEncoding("utf8").on("data", (text: string) => {
    said.output += text;
    if (said.output.endsWith("\n")) resolve();
  });
  stdout?.once("close", resolve);
  await promise;
  return said;
}

/** Overlays separate their folders by these. */
export function requireOverlayPath(folder: string): void {
  if (/[:,\\]/.test(folder)) throw new Error(`folder ${folder} of drive C: expected a path without ":", "," and "\\"`);
}

function environment(): NodeJS.ProcessEnv {
  const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return { PATH: path, HOME: "/root", WINEPREFIX: "/windows", WINEDEBUG: "-all" };
}
