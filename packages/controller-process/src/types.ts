/** What the process controller asks of the guest and of whoever owns the process's stdio. */
import type { Duplex, Readable, Writable } from "node:stream";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import type { DrainLimits } from "./drain.ts";
import type { OutputMove } from "./output-move.ts";

/** The guest, or its container, that runs a process. */
export interface ProcessGuest<Parameters = LinuxProcessParameters, Signal = number> {
  /** Starts the process in the container; its stdio is connected when the promise resolves. */
  execute(parameters: Parameters, signal?: AbortSignal): Promise<GuestProcess<Signal>>;
}

/**
 * A process that runs in the guest. All calls reject with an error whose `code` is one of lifecycle's `errorCodes`;
 * `gone` says that guest or VM have ended.
 */
export interface GuestProcess<Signal = number> {
  /** Pid in the guest. */
  readonly pid: number;
  /**
   * Present where the parameters asked for a pipe. Ending stdin closes it in the guest. An output closes itself
   * once it has ended and been read: the guest reports no exit before.
   */
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
  /** Resolves with the exit code (Linux: 128 + signal for a killed process); rejects when guest or bridge is lost. */
  wait(): Promise<number>;
  /** Whether the guest still lists the process. It may never report the exit of one that it no longer lists. */
  exists(abort?: AbortSignal): Promise<boolean>;
  /** NotFound when the process no longer exists. */
  signal(signal: Signal, abort?: AbortSignal): Promise<void>;
  resize(height: number, width: number, abort?: AbortSignal): Promise<void>;
  /** Closes the host's ends of the stdio. Repeatable. */
  close(): Promise<void>;
}

/** What differs between processes of Linux and of Windows guests: how they are described, signalled and ended. */
export interface ProcessFlavour<Description, Parameters, Signal> {
  readonly parameters: (request: ParametersRequest<Description>) => Parameters;
  /** Throws InvalidArgument for a signal that the guest's system does not have. */
  readonly effectOf: (signal: Signal, id: string) => SignalEffect;
  /** The signal that no process survives. */
  readonly kill: Signal;
  /** Exit status of a process that the guest has killed without a report of its exit. */
  readonly killedStatus: number;
  /** Exit status for a code that a guest reports, which may be no code at all. */
  readonly exitStatusOf: (code: number) => number;
  /** How long the output may take after an exit. */
  readonly drainLimits: DrainLimits;
  /** Whether other processes of its container may outlive an init process, and hold its output open. */
  readonly initMayBeOutlived: boolean;
}

/** What the parameters of a process are made from. */
export interface ParametersRequest<Description> {
  /** Absent for a process that the container's specification describes to the guest. */
  readonly description: Description | undefined;
  /** In characters; present for a process with a terminal whose size is known. */
  readonly consoleSize: { readonly width: number; readonly height: number } | undefined;
  readonly pipes: {
    readonly EmulateConsole: boolean;
    readonly CreateStdInPipe: boolean;
    readonly CreateStdOutPipe: boolean;
    readonly CreateStdErrPipe: boolean;
  };
}

/** What a signal does to a process, whatever its guest. */
export interface SignalEffect {
  /** No process survives it. */
  readonly isKill: boolean;
  /** Exit status of a process that gets it before its start; undefined for a signal without effect then. */
  readonly statusBeforeStart: number | undefined;
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

/** A client's ends, open. Streams are absent where the client named none. */
export interface OpenStdio {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /**
   * Prepares to move the rest of an output without reading it; undefined if that cannot be done between these streams.
   * Absent where none could.
   */
  readonly moveOutput?: (source: Readable, sink: Writable) => Promise<OutputMove | undefined>;
  /** The client wants stdin to end: it ends once all other writers are gone. Repeatable. */
  closeStdin(): void;
  /** Closes all ends, cancelling a stdin read that waits. Repeatable. */
  close(): Promise<void>;
}
