import type { Duplex } from "node:stream";
import type { HostProcesses, HostSockets } from "../compute/host-dependencies.ts";
import { CompletionPort, type Kernel } from "../io/completion-port.ts";
import { WindowsHvsockets } from "../io/hvsocket.ts";
import { OpenStreams } from "../io/open-streams.ts";
import { OverlappedStream } from "../io/overlapped-stream.ts";
import { connectedPipe, type PipeServer, type PipeServerOptions, servePipe } from "../io/pipes.ts";
import { kernelFunctions, securityFunctions } from "../native/kernel-functions.ts";
import type { LibraryPaths } from "../native/libraries.ts";
import type { NativeMachine } from "../native/native-types.ts";
import { winsockFunctions } from "../native/winsock-functions.ts";
import { createWindowsHost, type WindowsHost } from "../windows-host.ts";
import { Job } from "./job.ts";
import { NamedEvents } from "./named-events.ts";
import type { Security } from "./security-descriptor.ts";
import { workingSetOf } from "./vm-memory.ts";

/**
 * Windows as a program uses it: the host, pipes, events and jobs. All streams share the completion port of the
 * process.
 */
export class WindowsSystem {
  readonly machine: NativeMachine;
  readonly paths: LibraryPaths;
  readonly kernel: Kernel;
  readonly security: Security;
  readonly port: CompletionPort;
  #events: NamedEvents | undefined;

  /** Throws Unavailable, with the name of the DLL, if one cannot be loaded. */
  constructor(machine: NativeMachine, paths: LibraryPaths) {
    this.machine = machine;
    this.paths = paths;
    this.kernel = machine.library(paths.kernel32, kernelFunctions);
    this.security = machine.library(paths.advapi32, securityFunctions);
    this.port = CompletionPort.of(machine, this.kernel);
  }

  get events(): NamedEvents {
    this.#events ??= new NamedEvents(this.machine, this.kernel, this.security);
    return this.#events;
  }

  servePipe(options: PipeServerOptions): Promise<PipeServer> {
    return servePipe(this, options);
  }

  createJob(): Job {
    return new Job(this.kernel);
  }

  /** The Windows driver of the host contract. */
  async openHost(): Promise<WindowsHost> {
    const { machine, paths } = this;
    const winsock = machine.library(paths.winsock, winsockFunctions);
    const hvsockets = await WindowsHvsockets.open(machine, winsock, this.port);
    const streams = new OpenStreams();
    const sockets: HostSockets = {
      listen: (vmId, service) => hvsockets.listen(vmId, service),
      connect: (vmId, service, signal) => hvsockets.connect(vmId, service, signal),
      streamOf: (handle, way) => streams.add(this.#streamOf(handle, way)),
      close: async () => {
        await Promise.all([hvsockets.close(), streams.close()]);
      },
    };
    const processes: HostProcesses = { workingSetOf: (vmId) => workingSetOf(this, vmId) };
    try {
      return createWindowsHost({ machine, paths, sockets, processes });
    } catch (error) {
      await sockets.close();
      throw error;
    }
  }

  #streamOf(handle: bigint, way: "in" | "out"): Duplex {
    try {
      this.port.attach(handle);
    } catch (error) {
      this.kernel.call("CloseHandle", handle);
      throw error;
    }
    return new OverlappedStream(this.port, connectedPipe(this.kernel, handle, way));
  }
}
