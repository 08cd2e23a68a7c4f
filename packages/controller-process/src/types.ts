/** What the process controller asks of the guest and of whoever owns the process's stdio. */
import type { Duplex, Readable, Writable } from "node:stream";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";

export interface ProcessGuest {
  /** Starts the process in the container; its stdio is connected when the promise resolves. */
  execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<GuestProcess>;
}

export interface GuestProcess {
  /** Pid in the guest. */
  readonly pid: number;
  /**
   * Present where LinuxProcessParameters asked for a pipe. Ending stdin closes it in the guest. An output closes itself
   * once it has ended and been read: the guest reports no exit before.
   */
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
  /** Resolves with the exit code (128 + signal for a killed process); rejects when guest or bridge is lost. */
  wait(): Promise<number>;
  /** Whether the guest still lists the process. It may never report the exit of one that it no longer lists. */
  exists(abort?: AbortSignal): Promise<boolean>;
  /** NotFound when the process no longer exists. */
  signal(signal: number, abort?: AbortSignal): Promise<void>;
  resize(height: number, width: number, abort?: AbortSignal): Promise<void>;
  /** Closes the host's ends of the stdio. Repeatable. */
  close(): Promise<void>;
}

/** Names of the client's ends of the stdio as the client gave them; empty string: none. */
export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** Opens the client's ends (FIFOs, named pipes, files). */
export interface UpstreamStdio {
  open(paths: StdioPaths, signal?: AbortSignal): Promise<OpenStdio>;
}

export interface OpenStdio {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** The client wants stdin to end: it ends once all other writers are gone. Repeatable. */
  closeStdin(): void;
  /** Closes all ends, cancelling a stdin read that waits. Repeatable. */
  close(): Promise<void>;
}
