import { constants } from "node:os";
import { type ChildProcess, type SpawnOptions, startProgram } from "@uvm-shim/child-processes";
import { type ProcessExit, reapAny } from "@uvm-shim/linux-calls";

/** The environment of programs that the agent starts. */
const environment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  XDG_RUNTIME_DIR: "/run",
} as const;

const outputLimit = 64 * 1024;

/** How a program ended that was started for its effect. */
export interface ToolResult {
  /** Exit status, or 128 plus the number of the signal that ended it. */
  readonly exitCode: number;
  /** The end of its standard error, if that is a pipe. */
  readonly stderr: string;
}

/** Keeps the exits of orphans from now on: a process may end before its pid is known. */
export interface Expectation {
  /** Resolves with the exit of a process that is, or becomes, an orphan. */
  adopt(pid: number): Promise<ProcessExit>;
  /** Repeatable. */
  end(): void;
}

/**
 * The children of PID 1: those that it starts itself, whose exits Node collects, and the orphans of the whole guest, whose
 * exits are collected here. The containers' processes are orphans of the OCI runtime.
 */
export class Children {
  readonly #own = new Set<number>();
  readonly #adopted = new Map<number, (exit: ProcessExit) => void>();
  /** Exits of processes that are not adopted yet; kept only during an expectation. */
  readonly #early = new Map<number, ProcessExit>();
  #expectations = 0;
  #isReapScheduled = false;
  readonly #onSignal = (): void => this.#reap();

  constructor() {
    process.on("SIGCHLD", this.#onSignal);
  }

  close(): void {
    process.off("SIGCHLD", this.#onSignal);
  }

  async spawn(command: string, parameters: readonly string[], options: SpawnOptions): Promise<ChildProcess> {
    const whole = { cwd: "/", ...options, env: { ...environment, ...options.env } };
    const isOwn = (pid: number): unknown => this.#own.add(pid);
    const child = await startProgram(command, parameters, whole, isOwn).catch((cause: Error) => {
      throw new Error(`${command}: ${cause.message}`, { cause });
    });
    child.once("exit", () => this.#own.delete(child.pid ?? 0));
    return child;
  }

  /** Rejects if the program cannot be started. */
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

  /** Runs a program until it ends. An abort kills it, and rejects with the reason once it has ended. */
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

  /** Must be called before the process is started. */
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

  // A child of Node is first in the kernel's list; Node collects it on the same signal.
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
