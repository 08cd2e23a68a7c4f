import type { Duplex } from "node:stream";
import { CompletionPort, type Kernel } from "../io/completion-port.ts";
import { servePipe } from "../io/pipes.ts";
import { kernelFunctions, securityFunctions } from "../native/kernel-functions.ts";
import { nativeMachine } from "../native/koffi-machine.ts";
import { systemLibraries } from "../native/libraries.ts";

/** What a shim asks of Windows beside its host. */
export interface ShimCalls {
  /** Serves a named pipe that administrators and the system alone may open. AlreadyExists when somebody serves it. */
  servePipe(path: string, onConnection: (connection: Duplex) => void): Promise<{ close(): Promise<void> }>;
  /** When a process started, in units of 100 ns since 1601; undefined when it has ended. */
  processStartTime(pid: number): string | undefined;
}

const PROCESS_QUERY_LIMITED_INFORMATION = 0x1000;

export function shimCalls(): ShimCalls {
  const machine = nativeMachine();
  const paths = systemLibraries(process.env);
  const kernel = machine.library(paths.kernel32, kernelFunctions);
  const security = machine.library(paths.advapi32, securityFunctions);
  const port = CompletionPort.of(machine, kernel);
  return {
    servePipe: (path, onConnection) =>
      servePipe(
        { kernel, security, port },
        {
          path,
          onConnection,
          // A shim that nobody can reach any more ends, and is cleaned up after.
          onError: (error) => {
            throw error;
          },
        },
      ),
    processStartTime: (pid) => processStartTime(kernel, pid),
  };
}

function processStartTime(kernel: Kernel, pid: number): string | undefined {
  const handle = kernel.call("OpenProcess", PROCESS_QUERY_LIMITED_INFORMATION, 0, pid);
  if (handle === 0n) return undefined;
  try {
    const [created, exited, inKernel, inUser] = [0, 1, 2, 3].map(() => Buffer.alloc(8)) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    if (kernel.call("GetProcessTimes", handle, created, exited, inKernel, inUser) === 0) return undefined;
    // The object outlives the process while somebody has a handle of it.
    return exited.readBigUInt64LE() === 0n ? `${created.readBigUInt64LE()}` : undefined;
  } finally {
    kernel.call("CloseHandle", handle);
  }
}
