import type { Duplex } from "node:stream";
import { HostError } from "../../host-error.ts";
import { WindowsError, windowsErrors } from "../native/windows-error.ts";
import { administratorsOnly, type Security, withSecurity } from "../system/security-descriptor.ts";
import { type Completion, type CompletionPort, invalidHandle, type Kernel } from "./completion-port.ts";
import { type ConnectedHandle, OverlappedStream, type Ways } from "./overlapped-stream.ts";

/** Constants of winbase.h. */
const PIPE_ACCESS_DUPLEX = 0x3;
const FILE_FLAG_OVERLAPPED = 0x4000_0000;
const FILE_FLAG_FIRST_PIPE_INSTANCE = 0x0008_0000;
const PIPE_REJECT_REMOTE_CLIENTS = 0x8;
const PIPE_UNLIMITED_INSTANCES = 255;

const bufferBytes = 64 * 1024;
/** Instances that wait for a client at once, so that no client gets ERROR_PIPE_BUSY while another connects. */
const waitingInstances = 4;

/** What a server of a named pipe is made from. */
export interface PipeServerOptions {
  /** For example `\\.\pipe\ProtectedPrefix\Administrators\name`. */
  readonly path: string;
  /** In SDDL; by default for Administrators and SYSTEM only. */
  readonly descriptor?: string;
  /** Gets the stream of each client and must end it. Its directions end together. */
  readonly onConnection: (stream: Duplex) => void;
  /** Called when the server has failed and closed itself. */
  readonly onError: (error: unknown) => void;
}

/** What pipes need of Windows. */
export interface PipeSystem {
  readonly kernel: Kernel;
  readonly security: Security;
  readonly port: CompletionPort;
}

/**
 * Serves a named pipe. Rejects with AlreadyExists if the pipe exists, and with InvalidArgument if the descriptor or the
 * path is invalid.
 */
export async function servePipe(system: PipeSystem, options: PipeServerOptions): Promise<PipeServer> {
  try {
    return new PipeServer(system, options);
  } catch (cause) {
    throw new HostError(serveCode(cause), (cause as Error).message, {
      operation: "serve pipe",
      id: options.path,
      cause,
    });
  }
}

/** Serves a named pipe to any number of clients. */
export class PipeServer {
  readonly #system: PipeSystem;
  readonly #options: PipeServerOptions;
  readonly #waiting = new Set<() => void>();
  readonly #instances: Promise<void>[];
  #open = true;

  constructor(system: PipeSystem, options: PipeServerOptions) {
    this.#system = system;
    this.#options = options;
    const first = this.#create(FILE_FLAG_FIRST_PIPE_INSTANCE);
    this.#instances = Array.from({ length: waitingInstances }, (_, index) => {
      return this.#acceptAll(index === 0 ? first : undefined);
    });
  }

  /** Streams of clients stay open. Idempotent. */
  async close(): Promise<void> {
    this.#open = false;
    for (const end of this.#waiting) end();
    await Promise.all(this.#instances);
  }

  async #acceptAll(first: bigint | undefined): Promise<void> {
    let handle = first;
    while (this.#open) {
      try {
        handle ??= this.#create(0);
        const connected = await this.#connect(handle);
        const stream = connected ? this.#stream(handle) : undefined;
        handle = undefined;
        stream?.on("error", () => {});
        if (stream !== undefined) this.#options.onConnection(stream);
      } catch (error) {
        if (!this.#open) return;
        this.#open = false;
        for (const end of this.#waiting) end();
        this.#options.onError(error);
      }
    }
  }

  #create(flags: number): bigint {
    const { kernel, security, port } = this.#system;
    const { path, descriptor = administratorsOnly } = this.#options;
    const handle = withSecurity(kernel, security, descriptor, (attributes) =>
      kernel.call(
        "CreateNamedPipeW",
        path,
        PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | flags,
        PIPE_REJECT_REMOTE_CLIENTS,
        PIPE_UNLIMITED_INSTANCES,
        bufferBytes,
        bufferBytes,
        0,
        attributes,
      ),
    );
    if (handle === invalidHandle) throw new WindowsError("CreateNamedPipe", kernel.call("GetLastError"));
    try {
      port.attach(handle);
      return handle;
    } catch (error) {
      kernel.call("CloseHandle", handle);
      throw error;
    }
  }

  /** Returns whether a client connected; if not, the handle has been closed. */
  async #connect(handle: bigint): Promise<boolean> {
    const { kernel, port } = this.#system;
    const operation = port.operation(handle);
    const { promise, resolve } = Promise.withResolvers<Completion>();
    const error = operation.start(
      (structure) => started(kernel, kernel.call("ConnectNamedPipe", handle, structure)),
      resolve,
    );
    if (error === windowsErrors.ERROR_PIPE_CONNECTED) return true;
    if (error !== 0) {
      kernel.call("CloseHandle", handle);
      // The client has already disconnected.
      if (error === windowsErrors.ERROR_NO_DATA) return false;
      throw new WindowsError("ConnectNamedPipe", error);
    }
    const end = (): void => operation.cancel();
    this.#waiting.add(end);
    const { status } = await promise;
    this.#waiting.delete(end);
    if (status !== 0) kernel.call("CloseHandle", handle);
    return status === 0;
  }

  #stream(handle: bigint): OverlappedStream {
    return new OverlappedStream(this.#system.port, connectedPipe(this.#system.kernel, handle));
  }
}

/** Overlapped calls on the handle of a pipe. */
export function connectedPipe(kernel: Kernel, handle: bigint, ways: Ways = "both"): ConnectedHandle {
  return {
    handle,
    chunksAtATime: 1,
    halves: false,
    ways,
    read: (structure, into) => started(kernel, kernel.call("ReadFile", handle, into, into.length, null, structure)),
    write: (structure, [chunk]) => {
      if (chunk === undefined) return 0;
      return started(kernel, kernel.call("WriteFile", handle, chunk, chunk.length, null, structure));
    },
    failure: (structure) => {
      const succeeded = kernel.call("GetOverlappedResult", handle, structure, Buffer.alloc(4), 0);
      return succeeded === 0 ? kernel.call("GetLastError") : 0;
    },
    // The client can still read written data after the handle is closed.
    endWriting: () => 0,
    close: () => void kernel.call("CloseHandle", handle),
  };
}

function started(kernel: Kernel, succeeded: number): number {
  return succeeded === 0 ? kernel.call("GetLastError") : 0;
}

function serveCode(error: unknown): "AlreadyExists" | "InvalidArgument" | "Internal" {
  if (!(error instanceof WindowsError)) return "Internal";
  // Errors for the first instance of a pipe that already exists.
  if (error.code === "EACCES" || error.errno === windowsErrors.ERROR_PIPE_BUSY) return "AlreadyExists";
  return error.syscall === "CreateIoCompletionPort" ? "Internal" : "InvalidArgument";
}
