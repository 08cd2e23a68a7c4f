import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { poll } from "../support/wait.ts";

/** The name of the plugin, and so of the sandboxer, in containerd's configuration. */
export const SANDBOXER_PLUGIN = "uvm-lcow";
const START_MS = 20_000;
const STOP_MS = 20_000;

export interface SandboxerOptions {
  readonly executable: string;
  /** For everything that it keeps. */
  readonly directory: string;
  /** Where it serves; in its directory when absent. */
  readonly socket?: string;
  readonly containerd: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Whether each call of its pods is logged, as is usual. */
  readonly debug?: boolean;
  /** Further ones. */
  readonly flags?: readonly string[];
}

/** Where the sandboxer of a directory serves. */
export function sandboxerSocket(directory: string): string {
  return join(directory, "sandboxer.sock");
}

/** Where shims look for a sandboxer if nobody names one. */
export const USUAL_SOCKET = "/run/uvm-shim/lcow.sock";

/** A sandboxer of the suite's own. */
export class SandboxerProcess {
  readonly #options: SandboxerOptions;
  #child: ChildProcess | undefined;
  #starts = 0;

  constructor(options: SandboxerOptions) {
    this.#options = options;
    mkdirSync(this.state, { recursive: true });
  }

  get state(): string {
    return join(this.#options.directory, "sandboxer");
  }

  /** Where it serves containerd. */
  get socket(): string {
    return this.#options.socket ?? sandboxerSocket(this.#options.directory);
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error("the sandboxer does not run");
    return this.#child.pid;
  }

  /** Resolves once it serves; can be repeated after it has ended. */
  async start(signal?: AbortSignal): Promise<void> {
    const { executable, directory, containerd, environment, debug = true, flags = [] } = this.#options;
    const logPath = join(directory, `sandboxer-${++this.#starts}.log`);
    const log = openSync(logPath, "w");
    const { socket } = this;
    const args = ["-address", containerd, "-socket", socket, "-state", this.state, "-drain", ...flags];
    if (debug) args.push("-debug");
    const child = spawn(executable, [...args, "sandboxer"], {
      env: environment,
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    const text = (): string => readFileSync(logPath, "utf8");
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code, by) =>
        reject(new Error(`the sandboxer ended (${by ?? code}):\n${text().slice(-4000)}`)),
      );
    });
    ended.catch(() => undefined);
    const serves = async (): Promise<true | undefined> => (/msg=serving socket=/.test(text()) ? true : undefined);
    const ready = poll("the sandboxer to serve", serves, { timeoutMs: START_MS, ...(signal && { signal }) });
    await Promise.race([ready, ended]);
  }

  async stop(by: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(by);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  }

  /** All that it has logged since its last start. */
  log(): string {
    return readFileSync(join(this.#options.directory, `sandboxer-${this.#starts}.log`), "utf8");
  }
}
