/** What the controller of a container needs of its processes and of the caller, whatever the guest. */
import type { StdioPaths } from "@uvm-shim/controller-process";
import type { Exit } from "@uvm-shim/lifecycle";

/** One mount of the root file system, as containerd sends it. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options: readonly string[];
}

/** One process, init or exec; satisfied by controller-process. */
export interface ContainerProcess<Description> {
  readonly execId: string;
  readonly pid: number;
  readonly stdio: StdioPaths;
  readonly state: "created" | "running" | "stopped";
  readonly exit: Exit | undefined;
  /** Whether it has ended, even if its exit is not published yet because its output is still being drained. */
  readonly hasEnded: boolean;
  create(request: { readonly stdio: StdioPaths; readonly process?: Description }, signal?: AbortSignal): Promise<void>;
  /** Sets the pid that the process is going to have. No effect once it has started. */
  expectPid(pid: number): void;
  start(signal?: AbortSignal): Promise<number>;
  kill(signalNumber: number, signal?: AbortSignal): Promise<void>;
  resize(width: number, height: number, signal?: AbortSignal): Promise<void>;
  closeStdin(signal?: AbortSignal): Promise<void>;
  wait(signal?: AbortSignal): Promise<Exit>;
  /** Ends a process that has not been started, with this status. No effect on any other. */
  abandon(status: number): Promise<void>;
  vmExited(exit: { readonly reason: string }): void;
}

/** Makes the controller of a process that is run by `guest`. */
export type ProcessFactory<Guest, Description> = (options: {
  readonly containerId: string;
  readonly execId: string;
  readonly guest: Guest;
}) => ContainerProcess<Description>;
