import type { Duplex } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";
import type { Log, LogLevel, UpstreamStdio } from "../platform.ts";
import type { LinuxCallsPart } from "./output-move.ts";

/** The services of the operating system that differ between POSIX and Windows. */
export interface ShimSystem {
  /** One path per containerd, namespace and id, so that the shim of a sandbox can be found by its id alone. */
  socketPath(owner: SocketOwner): string;
  /** The address that containerd dials. */
  address(socket: string): string;
  /** Makes what a process needs to listen on the socket. */
  prepareSocket(socket: string): Promise<void>;
  /**
   * Makes a folder, and those above it, that only administrators can use. Throws if another user could change what is
   * in it.
   */
  makePrivateFolder(folder: string): Promise<void>;
  /** Reports this process as the service that the system has started. Throws if it has not, or has no such services. */
  enterService(): Promise<SystemService>;
  /** Removes a socket that no process serves. */
  removeDeadSocket(socket: string): Promise<void>;
  /** Listens; only administrators can connect from the start. Throws AlreadyExists when another process serves the socket. */
  listen(socket: string, onConnection: (connection: Duplex) => void): Promise<Listener>;
  /** The start time of a process in the system's own unit; undefined when it has exited. */
  processStartTime(pid: number): Promise<string | undefined>;
  /** The log of the serving process. */
  openLog(options: LogOptions): ShimLog;
  /** The log of `delete`. */
  openDeleteLog(options: LogOptions): ShimLog;
  stdio(options: StdioOptions): UpstreamStdio;
  /** Gives logging binaries some time to exit, then terminates them. */
  endPrograms(clock: Clock): Promise<void>;
}

/** Whose socket it is: its path follows from this. */
export interface SocketOwner {
  /** containerd's address. */
  readonly address: string;
  readonly namespace: string;
  readonly id: string;
  /** The directory of socket files, when it is not the usual one. */
  readonly directory?: string;
}

/** A socket or pipe that is served. */
export interface Listener {
  /** Stops accepting connections and removes the socket; existing connections stay open. Idempotent. */
  close(): void;
}

/** What a shim's log is made from. */
export interface LogOptions {
  readonly bundle: string;
  readonly namespace: string;
  readonly id: string;
  readonly level: LogLevel;
  readonly clock: Clock;
}

/** A shim's log, and what can be done to it. */
export interface ShimLog extends Log {
  /** Bytes of lines that the reader has not taken yet. */
  readonly queuedBytes: number;
  /** Omits lines below this level from now on. */
  setLevel(level: LogLevel): void;
  /** Whether lines of this level are written. */
  isLogged(level: LogLevel): boolean;
  /** Closes the log; lines that its reader has not taken may be lost. */
  close(): void;
}

/** What a client's ends are opened with. */
export interface StdioOptions {
  readonly namespace: string;
  readonly clock: Clock;
  /** How long to dial a client's pipe again after it is lost, in milliseconds; 0 means for ever. */
  readonly retryMilliseconds: () => Promise<number>;
  /** Absent where this system's calls cannot be loaded. */
  readonly loadLinuxCalls?: (() => Promise<LinuxCallsPart>) | undefined;
}

/** This process as a service of the system, which wants to know how it fares. */
export interface SystemService {
  /** Resolves, with the reason, when the system wants it to end. */
  readonly stopRequested: Promise<string>;
  running(): void;
  /** Has the system wait for as long as it takes to end. */
  stopping(): void;
  /** The last report; a code other than 0 is that of a failure which a restart would not mend. */
  stopped(exitCode: number): void;
}

/** Windows calls that Node lacks. Satisfied by packages/hcs-bindings. */
export interface WindowsCalls {
  /** Serves a named pipe that only administrators and the system may open. */
  servePipe(path: string, onConnection: (connection: Duplex) => void): Promise<{ close(): Promise<void> }>;
  processStartTime(pid: number): string | undefined;
  /** Makes a folder for administrators and the system only, in one that exists. Throws if it is another user's. */
  makePrivateFolder(folder: string): void;
  enterService(): Promise<SystemService>;
}

/** Whether that very process still runs, and not another that reuses its pid. */
export async function isAlive(
  identity: { readonly pid: number; readonly processStartTime: string },
  system: Pick<ShimSystem, "processStartTime">,
): Promise<boolean> {
  return (await system.processStartTime(identity.pid)) === identity.processStartTime;
}
