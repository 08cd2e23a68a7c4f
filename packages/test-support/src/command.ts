import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

export interface CommandOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly directory?: string;
  readonly input?: Uint8Array | string;
  /** Milliseconds after which the command is killed and the result a failure. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  readonly command: string;
  /** Exit code; 128 plus the signal's number when a signal ended it, as a shell counts. */
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A command that is running: its output so far, and its end. */
export interface RunningCommand {
  readonly process: ChildProcess;
  readonly finished: Promise<CommandResult>;
  /** Resolves once the standard output so far matches; rejects when the command ends or the time is over first. */
  outputMatches(pattern: RegExp, timeoutMs: number): Promise<RegExpMatchArray>;
  write(text: string): void;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const SIGNAL_NUMBERS: { readonly [name: string]: number } = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGKILL: 9,
  SIGPIPE: 13,
  SIGTERM: 15,
};

export function startCommand(command: string, args: readonly string[], options: CommandOptions = {}): RunningCommand {
  const line = [command, ...args].join(" ");
  const child = spawn(command, args, {
    cwd: options.directory,
    env: options.environment ?? process.env,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  let stderr = "";
  const watchers = new Set<() => void>();
  const notify = (): void => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.on("data", (chunk: Buffer) => {
    stdout.push(chunk);
    notify();
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  // The command may end before it has read its input: its exit code shows whether that is an error.
  child.stdin.on("error", () => undefined);
  if (options.input !== undefined) child.stdin.end(options.input);

  let ended = false;
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const timer = setTimeout(kill, timeoutMs);
  options.signal?.addEventListener("abort", kill, { once: true });
  if (options.signal?.aborted) kill();
  const started = performance.now();
  const finished = new Promise<CommandResult>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (performance.now() - started >= timeoutMs) stderr += `\n(killed after ${timeoutMs} ms)`;
      const status = code ?? 128 + (SIGNAL_NUMBERS[signal ?? ""] ?? 0);
      resolve({ command: line, status, stdout: Buffer.concat(stdout), stderr });
    });
  }).finally(() => {
    ended = true;
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", kill);
    notify();
  });
  // A caller may look at the result later, or only at the output.
  finished.catch(() => undefined);

  const outputMatches = (pattern: RegExp, withinMs: number): Promise<RegExpMatchArray> =>
    new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(limit);
        watchers.delete(look);
        settle();
      };
      const fail = (why: string): void => {
        const text = Buffer.concat(stdout).toString("utf8");
        finish(() => reject(new Error(`${line}: no ${pattern} in its output ${why}:\n${tail(text)}${tail(stderr)}`)));
      };
      const look = (): void => {
        const match = Buffer.concat(stdout).toString("utf8").match(pattern);
        if (match !== null) finish(() => resolve(match));
        else if (ended) fail("before it ended");
      };
      const limit = setTimeout(() => fail(`within ${withinMs} ms`), withinMs);
      watchers.add(look);
      look();
    });
  return { process: child, finished, outputMatches, write: (text) => child.stdin.write(text) };
}

/** Runs a command to its end, without standard input unless some is given. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return startCommand(command, args, { ...options, input: options.input ?? "" }).finished;
}

/** Runs a command that has to succeed, and returns its standard output as text. */
export async function mustRun(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await runCommand(command, args, options);
  if (result.status !== 0) throw new Error(describe(result));
  return result.stdout.toString("utf8");
}

export function describe(result: CommandResult): string {
  return `${result.command}: exit code ${result.status}\n${tail(result.stdout.toString("utf8"))}${tail(result.stderr)}`.trimEnd();
}

/** The PATH, and the folders of system programs, which not every root's PATH has. */
export function searchPath(): string {
  return [process.env.PATH ?? "", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].join(delimiter);
}

/** The path of a program, or undefined when the machine has none of that name. */
export function findProgram(name: string): string | undefined {
  if (isAbsolute(name)) return isExecutable(name) ? name : undefined;
  return searchPath()
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function tail(text: string): string {
  const limit = 4000;
  return text === "" ? "" : `${text.length > limit ? `…${text.slice(-limit)}` : text}\n`;
}
