import type { Duplex } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";
import type { Log, UpstreamStdio } from "../platform.ts";
import type { ShimOptions } from "../program/options.ts";
import type { LogLevel } from "./log.ts";
import { posixSystem } from "./posix.ts";
import { windowsSystem } from "./windows.ts";

/** What a shim needs of its operating system, and each has in a way of its own. */
export interface ShimSystem {
  /** One path per containerd, namespace and id, so that the shim of a sandbox can be found by its id alone. */
  socketPath(owner: SocketOwner): string;
  /** What containerd is told to dial. */
  address(socket: string): string;
  /** Makes what has to be there for somebody to listen. */
  prepareSocket(socket: string): Promise<void>;
  /** Removes what is left of one that nobody serves, and nothing that somebody does. */
  removeDeadSocket(socket: string): Promise<void>;
  /** Listens, for the machine's administrators alone from the first instant. AlreadyExists when somebody does already. */
  listen(socket: string, onConnection: (connection: Duplex) => void): Promise<Listener>;
  /** When a process started, in terms of the system's own; undefined when it has ended. */
  processStartTime(pid: number): Promise<string | undefined>;
  /** What the serving process logs to. */
  openLog(options: LogOptions): ShimLog;
  /** What `delete` logs to. */
  openDeleteLog(options: LogOptions): ShimLog;
  stdio(options: StdioOptions): UpstreamStdio;
  /** Asks the programs that were run for clients' outputs to end, when they have had some time for it. */
  endPrograms(clock: Clock): Promise<void>;
}

export interface SocketOwner {
  /** Of containerd. */
  readonly address: string;
  readonly namespace: string;
  readonly id: string;
  /** Where sockets are files: their folder, when it is not the usual one. */
  readonly directory?: string;
}

export interface Listener {
  /** Takes no more connections, and leaves nothing behind; those that there are live on. Repeating it is harmless. */
  close(): void;
}

export interface LogOptions {
  readonly bundle: string;
  readonly namespace: string;
  readonly id: string;
  readonly level: LogLevel;
  readonly clock: Clock;
}

export interface ShimLog extends Log {
  /** Lines below this level are left out from now on. */
  setLevel(level: LogLevel): void;
  /** Whether lines of this level are written at present. */
  isLogged(level: LogLevel): boolean;
  /** Lets go of the log; what its reader has not taken by then may be lost. */
  close(): void;
}

export interface StdioOptions {
  readonly namespace: string;
  readonly clock: Clock;
  /** How long, in milliseconds, a lost client's end is looked for again; 0: for ever. */
  readonly retryMilliseconds: () => Promise<number>;
}

/** Calls that Node does not have; whoever runs a shim on Windows gives them. */
export interface WindowsCalls {
  /** Serves a named pipe that administrators and the system alone may open. */
  servePipe(path: string, onConnection: (connection: Duplex) => void): Promise<{ close(): Promise<void> }>;
  processStartTime(pid: number): string | undefined;
}

export function systemOf(options: Pick<ShimOptions, "loadWindowsCalls">): ShimSystem {
  return process.platform === "win32" ? windowsSystem(options.loadWindowsCalls) : posixSystem;
}

/** Whether it still is that very process, and not another that was given its pid. */
export async function isAlive(
  identity: { readonly pid: number; readonly processStartTime: string },
  system: Pick<ShimSystem, "processStartTime">,
): Promise<boolean> {
  return (await system.processStartTime(identity.pid)) === identity.processStartTime;
}
