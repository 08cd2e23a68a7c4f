/** A Windows machine for a while: Wine in namespaces of its own, which end with it whatever was started there. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type CommandOptions,
  type CommandResult,
  type RunningCommand,
  searchPath,
  startCommand,
} from "@uvm-shim/test-support/command";
import { compileForWindows } from "./compile.ts";
import { REPOSITORY, wineRoot } from "./wine-environment.ts";

const here = dirname(fileURLToPath(import.meta.url));
const SETTLE_MS = 30_000;
/** The most that a timer takes: a machine has no time of its own. */
const FOR_EVER_MS = 2 ** 31 - 1;

export interface WindowsMachineOptions {
  /** Folders of this machine that programs there see, under the same path on drive Z:, beside the repository. */
  readonly folders?: readonly string[];
  /** "shared": the caller's own network, for what listens there. Otherwise one with nothing but loopback. */
  readonly network?: "own" | "shared";
}

/** A program of the Windows machine: an executable's path here, or a name that Windows finds, such as `cmd`. */
export interface WindowsProgram extends Omit<CommandOptions, "environment"> {
  readonly program: string;
  readonly args?: readonly string[];
  /** Added to what Windows has by itself. Its PATH and TEMP cannot be set so; WINEPATH is put before PATH. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** What a path of this machine is called there. */
export function windowsPath(path: string): string {
  return `Z:${path.replaceAll("/", "\\")}`;
}

export class WindowsMachine implements AsyncDisposable {
  /** Holds the relay and the place of the root folder. */
  readonly #directory: string;
  readonly #holder: RunningCommand;

  private constructor(directory: string, holder: RunningCommand) {
    this.#directory = directory;
    this.#holder = holder;
  }

  /** Takes a second; a minute more where Wine has to be fetched first. Fails with the reason where it cannot be had. */
  static async start({ folders = [], network = "own" }: WindowsMachineOptions = {}): Promise<WindowsMachine> {
    const root = await wineRoot();
    const directory = mkdtempSync(join(tmpdir(), "uvm-windows-"));
    const [work, relay] = [join(directory, "work"), join(directory, "relay")];
    for (const folder of [work, relay]) mkdirSync(folder);
    await compileForWindows([join(here, "stdio-relay.c")], join(relay, "stdio-relay.exe"), ["-municode"]);
    const namespaces = ["--mount", "--pid", "--ipc", ...(network === "own" ? ["--net"] : [])];
    const holder = startCommand(
      "unshare",
      [
        ...namespaces,
        "--fork",
        "--kill-child",
        "sh",
        join(here, "machine-init.sh"),
        work,
        root,
        relay,
        REPOSITORY,
        ...folders,
      ],
      { environment: machineEnvironment({}), timeoutMs: FOR_EVER_MS },
    );
    const machine = new WindowsMachine(directory, holder);
    try {
      await holder.outputMatches(/settled/, SETTLE_MS);
      return machine;
    } catch (error) {
      await machine.end();
      throw error;
    }
  }

  /** Starts a program; its streams are pipes, as they are for whatever a service starts on Windows. */
  start({ program, args = [], directory = "/", environment = {}, ...options }: WindowsProgram): RunningCommand {
    const { pid } = this.#holder.process;
    const enter = ["--target", `${pid}`, "--mount", "--net", "--ipc", `--pid=/proc/${pid}/ns/pid_for_children`];
    const root = ["setpriv", "--pdeathsig", "KILL", "chroot", join(this.#directory, "work", "root")];
    const relay = join(this.#directory, "relay");
    const wine = ["sh", join(here, "enter-wine.sh"), relay, directory];
    const executable = program.startsWith("/") ? windowsPath(program) : program;
    return startCommand("nsenter", [...enter, ...root, ...wine, executable, ...args], {
      ...options,
      environment: machineEnvironment(environment),
    });
  }

  /** Runs a program to its end, without standard input unless some is given. Exit codes are those of Windows modulo 256. */
  run(program: WindowsProgram): Promise<CommandResult> {
    return this.start({ ...program, input: program.input ?? "" }).finished;
  }

  /** What Wine itself has said, beside what the programs wrote: much with WINEDEBUG in their environment. */
  wineLog(): string {
    return readFileSync(join(this.#directory, "relay", "wine.log"), "utf8");
  }

  /** Ends everything that runs there. */
  async end(): Promise<void> {
    this.#holder.process.stdin?.end();
    await this.#holder.finished;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}

/** Runs one program on a Windows machine of its own. */
export async function runUnderWine({
  folders,
  network,
  ...program
}: WindowsProgram & WindowsMachineOptions): Promise<CommandResult> {
  await using machine = await WindowsMachine.start({ ...(folders && { folders }), ...(network && { network }) });
  return await machine.run(program);
}

function machineEnvironment(added: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { PATH: searchPath(), HOME: "/root", LANG: "C.UTF-8", WINEPREFIX: "/windows", WINEDEBUG: "-all", ...added };
}
