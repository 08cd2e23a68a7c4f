/** A Windows container under Wine: namespaces of its own, with a drive C: of layers, a registry and a network. */
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import type { ProgramStart } from "./frames.ts";
import { WindowsProgram } from "./program.ts";

export interface ContainerParts {
  /** An empty folder for what the container has beside its scratch; the caller removes it after the end. */
  readonly folder: string;
  /** The root folder of a Linux with Wine in it, whose prefix is /windows. */
  readonly wineRoot: string;
  /** The folder with `starter.exe`. */
  readonly starterFolder: string;
  /** The folders that drive C: is made of, topmost first: those named `Files` of the layers. */
  readonly layers: readonly string[];
  /** What the container writes to drive C:. Not on an overlay. */
  readonly scratch: string;
  /** COMPUTERNAME is its first 15 characters, in capitals. */
  readonly hostName: string;
  readonly userName: string;
}

export interface ContainerProgram extends ProgramStart {
  /** Without its domain; by default the container's. */
  readonly userName?: string;
}

const here = dirname(fileURLToPath(import.meta.url));
const settled = "settled\n";

export class WindowsContainer {
  readonly #parts: ContainerParts;
  readonly #init: ChildProcess;

  private constructor(parts: ContainerParts, init: ChildProcess) {
    this.#parts = parts;
    this.#init = init;
  }

  static async start(parts: ContainerParts): Promise<WindowsContainer> {
    for (const folder of parts.layers) requireOverlayPath(folder);
    requireOverlayPath(parts.scratch);
    mkdirSync(join(parts.folder, "work"));
    const settings = [
      join(parts.folder, "work"),
      parts.wineRoot,
      parts.starterFolder,
      parts.layers.join(":"),
      parts.scratch,
      parts.hostName,
      parts.userName,
    ];
    const namespaces = ["--mount", "--pid", "--ipc", "--uts", "--net"];
    const script = ["sh", join(here, "container-init.sh"), ...settings];
    const init = await startProgram("unshare", [...namespaces, "--fork", "--kill-child=KILL", ...script], {
      cwd: "/",
      env: environment(),
      stdio: ["pipe", "pipe", "pipe"],
    });
    init.stdin?.on("error", () => {});
    const said = await saidAtStart(init);
    if (said.output === settled) return new WindowsContainer(parts, init);
    throw new Error(`a Windows container cannot be made: ${said.errors.trim() || "Wine did not start"}`);
  }

  /** Throws a WindowsError when Windows does not start it. */
  async run(program: ContainerProgram): Promise<WindowsProgram> {
    const { pid } = this.#init;
    const work = join(this.#parts.folder, "work");
    const enter = [
      "--target",
      `${pid}`,
      "--mount",
      "--net",
      "--ipc",
      "--uts",
      `--pid=/proc/${pid}/ns/pid_for_children`,
    ];
    const own = ["unshare", "--mount", "--propagation", "slave"];
    const script = ["sh", join(here, "enter-container.sh"), join(work, "root")];
    const log = join(work, "upper", "wine.log");
    const user = program.userName ?? this.#parts.userName;
    const starter = await startProgram("nsenter", [...enter, ...own, ...script, user, log], {
      cwd: "/",
      env: environment(),
      stdio: ["pipe", "pipe", "ignore"],
    });
    return await WindowsProgram.start(starter, program);
  }

  /** Ends everything that runs there. */
  async end(): Promise<void> {
    if (this.#init.exitCode !== null || this.#init.signalCode !== null) return;
    const gone = once(this.#init, "close");
    this.#init.stdin?.end();
    await gone;
  }
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
function requireOverlayPath(folder: string): void {
  if (/[:,\\]/.test(folder)) throw new Error(`folder ${folder} of drive C: expected a path without ":", "," and "\\"`);
}

function environment(): NodeJS.ProcessEnv {
  const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return { PATH: path, HOME: "/root", WINEPREFIX: "/windows", WINEDEBUG: "-all" };
}
