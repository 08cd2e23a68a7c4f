import { SandboxError } from "@uvm-shim/sandbox-common";
import { commandLineOf, isCommandInterpreter } from "./command-line.ts";

/** What counts of an OCI process in a Windows container. */
export interface WindowsProcess {
  readonly user?: { readonly username?: string };
  readonly commandLine?: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly env?: readonly string[];
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
}

/** Which streams of a process its client wants. */
export interface ConnectedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** What the parameters of a process are made from. */
export interface ProcessRequest {
  readonly process: WindowsProcess;
  /** The container's annotations. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly streams: ConnectedStreams;
}

/** ProcessParameters for a Windows guest; what is absent is empty, false or none. */
export interface ProcessParameters {
  readonly CommandLine?: string;
  readonly User?: string;
  readonly WorkingDirectory?: string;
  readonly Environment?: Readonly<Record<string, string>>;
  readonly EmulateConsole?: true;
  readonly CreateStdInPipe?: true;
  readonly CreateStdOutPipe?: true;
  readonly CreateStdErrPipe?: true;
  /** Height, then width. */
  readonly ConsoleSize?: readonly [number, number];
}

const largestConsoleSide = 0xffff;

/** The parameters with which a Windows guest is asked to start a process. */
export function processParameters(request: ProcessRequest): ProcessParameters {
  const { process, annotations, streams } = request;
  const hostProcess = annotations["microsoft.com/hostprocess-container"] === "true";
  const inheritsUser = hostProcess && annotations["microsoft.com/hostprocess-inherit-user"] === "true";
  const commandLine = commandLineFor(process, hostProcess);
  const user = inheritsUser ? "NT AUTHORITY\\SYSTEM" : process.user?.username;
  const environment = environmentOf(process.env ?? []);
  return {
    ...(commandLine && { CommandLine: commandLine }),
    ...(user && { User: user }),
    ...(process.cwd && { WorkingDirectory: process.cwd }),
    ...(environment.size > 0 && { Environment: Object.fromEntries(environment) }),
    ...(process.terminal && { EmulateConsole: true }),
    ...(streams.stdin && { CreateStdInPipe: true }),
    ...(streams.stdout && { CreateStdOutPipe: true }),
    ...(streams.stderr && { CreateStdErrPipe: true }),
    ...(process.consoleSize && {
      ConsoleSize: [
        consoleSide("process.consoleSize.height", process.consoleSize.height),
        consoleSide("process.consoleSize.width", process.consoleSize.width),
      ],
    }),
  };
}

function commandLineFor(process: WindowsProcess, hostProcess: boolean): string {
  const { commandLine = "", args = [] } = process;
  const program = commandLine === "" ? args[0] : commandLine.trim().split(/\s+/)[0];
  const line = commandLine === "" ? commandLineOf(args) : commandLine;
  if (program === undefined || !hostProcess || isCommandInterpreter(program)) return line;
  return `cmd /c ${line}`;
}

function environmentOf(entries: readonly string[]): ReadonlyMap<string, string> {
  const environment = new Map<string, string>();
  for (const entry of entries) {
    const separator = entry.indexOf("=");
    const value = entry.slice(separator + 1);
    if (separator >= 0 && value !== "") environment.set(entry.slice(0, separator), value);
  }
  return environment;
}

function consoleSide(field: string, value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= largestConsoleSide) return value;
  throw new SandboxError(
    "InvalidArgument",
    field,
    `${String(value)} is not a whole number from 0 to ${String(largestConsoleSide)}`,
  );
}
