import { abortable, ControllerError } from "@uvm-shim/lifecycle";
import type { ContainerGuest, WindowsGuestProcess } from "../types.ts";

/** How a command in the VM ended. */
export interface CommandResult {
  readonly exitCode: number;
  /** What it has written to its standard output and standard error, up to a limit. */
  readonly output: string;
}

const terminate = 9;
const mostOutput = 64 * 1024;

/** Runs a program of the VM itself, as its system account, to its end. */
export async function runInVm(
  guest: ContainerGuest,
  CommandLine: string,
  signal?: AbortSignal,
): Promise<CommandResult> {
  const process = await guest.execute(
    {
      CommandLine,
      User: "NT AUTHORITY\\SYSTEM",
      WorkingDirectory: "C:\\",
      EmulateConsole: false,
      CreateStdInPipe: false,
      CreateStdOutPipe: true,
      CreateStdErrPipe: true,
    },
    signal,
  );
  try {
    const output = readOutput(process);
    const exitCode = await abortable(process.wait(), signal);
    return { exitCode, output: await abortable(output, signal) };
  } catch (error) {
    process.signal(terminate).catch(() => {});
    throw error;
  } finally {
    await process.close();
  }
}

/** Refuses any exit code but 0 with the command, its code and what it has written. */
export async function succeedInVm(guest: ContainerGuest, commandLine: string, signal?: AbortSignal): Promise<string> {
  const { exitCode, output } = await runInVm(guest, commandLine, signal);
  if (exitCode !== 0) throw commandFailed(commandLine, { exitCode, output });
  return output;
}

/** The error for a command that did not end with 0. */
export function commandFailed(commandLine: string, { exitCode, output }: CommandResult): ControllerError {
  const said = output.trim() === "" ? "" : `, saying ${JSON.stringify(output.trim().slice(0, 500))}`;
  return new ControllerError(
    "FailedPrecondition",
    `${commandLine} ended with ${exitCode} in the VM, expected 0${said}`,
    {
      operation: "run in VM",
      id: commandLine,
    },
  );
}

/** A path as an argument of the command interpreter, which gives spaces, `&` and the like a meaning of their own. */
export function quoted(path: string): string {
  return /^[A-Za-z0-9_.:\\/?*{}$-]+$/.test(path) ? path : `"${path}"`;
}

async function readOutput({ stdout, stderr }: WindowsGuestProcess): Promise<string> {
  let output = "";
  const read = async (stream: AsyncIterable<Uint8Array> | undefined): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const bytes of stream ?? []) {
      if (output.length < mostOutput) output += decoder.decode(bytes, { stream: true });
    }
  };
  // A connection that breaks leaves the exit code, which decides.
  await Promise.allSettled([read(stdout), read(stderr)]);
  return output.slice(0, mostOutput);
}
