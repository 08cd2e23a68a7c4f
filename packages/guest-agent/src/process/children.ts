import { constants } from "node:os";
import { type ChildProcess, type SpawnOptions, startProgram } from "@uvm-shim/child-processes";
import { type ProcessExit, reapAny } from "@uvm-shim/linux-calls";

/** Everything a program that the agent starts may see of the agent's environment. */
const environment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  XDG_RUNTIME_DIR: "/run",
} as const;

const outputLimit = 64 * 1024;

export interface ToolResult {
  /** Exit status, or 128 and the number of the signal that ended it. */
  readonly exitCode: number;
  /** The last of what the tool wrote to its standard error, where that was not given away. */
  readonly stderr: string;
}

/** What was adopted since the expectation began: processes may end before their pid is known. */
export interface Expectation {
  /** Resolves with the exit of a process that has become, or will become, a child of this process. */
  adopt(pid: number): Promise<ProcessExit>;
  /** Ends the expectation. Repeatable. */
  end(): void;
}

/**
 * The children of PID 1: those that it starts itself, whose exits Node collects, and the orphans of the whole guest,
 * whose exits are collected here; among these are the containers' processes, which the OCI runtime leaves behind.
 */
export class Children {
  readonly #own = new Set<number>();
  readonly #adopted = new Map<number, (exit: ProcessExit) => void>();
  /** Exits of processes that nobody has adopted yet; kept only while somebody expects one. */
  readonly #early = new Map<number, ProcessExit>();
  #expectations = 0;
  #isReapScheduled = false;
  readonly #onSignal = (): void => this.#reap();

  constructor() {
    process.on("SIGCHLD", this.#onSignal);
  }

  /** Stops collecting. */
  close(): void {
    process.off("SIGCHLD", this.#onSignal);
  }

  /** Starts a program as a child of Node. */
  async spawn(command: string, parameters: readonly string[], options: SpawnOptions): Promise<ChildProcess> {
    const whole = { cwd: "/", ...options, env: { ...environment, ...options.env } };
    const isOwn = (pid: number): unknown => this.#own.add(pid);
    const child = await startProgram(command, parameters, whole, isOwn).catch((cause: Error) => {
      throw new Error(`${command}: ${cause.message}`, { cause });
    });
    child.once("exit", () => this.#own.delete(child.pid ?? 0));
    return child;
  }

  /** Starts a program of which nobody but its exit is wanted. Rejects when it cannot be started. */
  async start(
    command: string,
    parameters: readonly string[],
    options: SpawnOptions,
  ): Promise<{ readonly pid: number; readonly exit: Promise<ProcessExit> }> {
    const child = await this.spawn(command, parameters, options);
    const exit = new Promise<ProcessExit>((resolve) => {
      child.once("exit", (code, name) => {
        const signal = name === null ? undefined : constants.signals[name];
        resolve({ exited: true, exitCode: exitCodeOf(code, name), signal });
      });
    });
    return { pid: child.pid ?? 0, exit };
  }

  /** Runs a program to its end. Aborting kills it, and rejects with the reason once it is gone. */
  async run(
    command: string,
    parameters: readonly string[],
    options: SpawnOptions,
    signal?: AbortSignal,
  ): Promise<ToolResult> {
    signal?.throwIfAborted();
    const child = await this.spawn(command, parameters, options);
    return await new Promise((resolve, reject) => {
      let stderr = "";
      const onAbort = (): void => {
        child.kill("SIGKILL");
      };
      signal?.addEventListener("abort", onAbort);
      if (signal?.aborted === true) onAbort();
      child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
        stderr = (stderr + chunk).slice(-outputLimit);
      });
      child.once("close", (code, name) => {
        signal?.removeEventListener("abort", onAbort);
        if (signal?.aborted === true) reject(signal.reason);
        else resolve({ exitCode: exitCodeOf(code, name), stderr });
      });
    });
  }

  /** To be called before the process is made whose exit is wanted. */
  expect(): Expectation {
    this.#expectations++;
    let isOpen = true;
    return {
      adopt: (pid) => {
        const early = this.#early.get(pid);
        if (early !== undefined) {
          this.#early.delete(pid);
          return Promise.resolve(early);
        }
        return new Promise((resolve) => this.#adopted.set(pid, resolve));
      },
      end: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#expectations--;
        if (this.#expectations === 0) this.#early.clear();
      },
    };
  }

  #reap(): void {
    for (;;) {
      const exit = reapAny((pid) => this.#own.has(pid));
      if (exit === undefined) return;
      if (exit === "owned") {
        this.#reapLater();
        return;
      }
      const resolve = this.#adopted.get(exit.pid);
      this.#adopted.delete(exit.pid);
      if (resolve !== undefined) resolve(exit);
      else if (this.#expectations > 0) this.#early.set(exit.pid, exit);
    }
  }

  // A child of Node stands first in the kernel's line; it is gone when Node has seen the same signal.
  #reapLater(): void {
    if (this.#isReapScheduled) return;
    this.#isReapScheduled = true;
    setImmediate(() => {
      this.#isReapScheduled = false;
      this.#reap();
    });
  }
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : (constants.signals[signal] ?? 0));
}
