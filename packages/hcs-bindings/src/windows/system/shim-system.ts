import type { Duplex } from "node:stream";
import { CompletionPort, type Kernel } from "../io/completion-port.ts";
import { servePipe } from "../io/pipes.ts";
import { folderFunctions, folderSecurityFunctions } from "../native/folder-functions.ts";
import { kernelFunctions, securityFunctions } from "../native/kernel-functions.ts";
import { nativeMachine } from "../native/koffi-machine.ts";
import { systemLibraries } from "../native/libraries.ts";
import { NamedEvents } from "./named-events.ts";
import { makePrivateFolder } from "./private-folder.ts";
import { ServiceProcess } from "./service.ts";

/** Windows as a shim uses it, besides the host. */
export interface ShimSystem {
  /** Serves a named pipe for Administrators and SYSTEM only. AlreadyExists if the pipe exists. */
  servePipe(path: string, onConnection: (connection: Duplex) => void): Promise<{ close(): Promise<void> }>;
  /** Start time of a process, in units of 100 ns since 1601; undefined if it has ended. */
  processStartTime(pid: number): string | undefined;
  /**
   * Makes a folder for Administrators and SYSTEM only, in one that exists. PermissionDenied if it is there already and
   * is another user's.
   */
  makePrivateFolder(folder: string): void;
  /** Reports this process to the service control manager, which has started it. Rejects if that has not. */
  enterService(): Promise<ShimService>;
}

/** This process as a service of Windows. */
export interface ShimService {
  /** Resolves, with the name of the control, when it is to stop. */
  readonly stopRequested: Promise<string>;
  running(): void;
  /** Has the manager wait for as long as it takes to stop. */
  stopping(): void;
  /** The last report. A code other than 0 is that of a failure, which the manager does not repair by a restart. */
  stopped(exitCode: number): void;
}

const PROCESS_QUERY_LIMITED_INFORMATION = 0x1000;

/** The Windows calls of a shim that needs no host yet. */
export function shimSystem(): ShimSystem {
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
          // A shim that cannot be reached must end, so that containerd cleans up.
          onError: (error) => {
            throw error;
          },
        },
      ),
    processStartTime: (pid) => processStartTime(kernel, pid),
    makePrivateFolder: (folder) => {
      const folders = machine.library(paths.kernel32, folderFunctions);
      const owners = machine.library(paths.advapi32, folderSecurityFunctions);
      makePrivateFolder({ machine, kernel, security, folders, owners }, folder);
    },
    enterService: () => {
      const events = new NamedEvents(machine, kernel, security);
      return ServiceProcess.enter({ machine, paths, wait: (handle) => events.wait(handle) });
    },
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
    // The process object exists after the exit while a handle of it is open.
    return exited.readBigUInt64LE() === 0n ? `${created.readBigUInt64LE()}` : undefined;
  } finally {
    kernel.call("CloseHandle", handle);
  }
}
