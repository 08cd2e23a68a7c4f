/**
 * What the shim asks of the platform behind it. The services translate wire types to these and back; the LCOW and
 * WCOW composition roots satisfy them with controllers. Errors carry a `code` of the closed gRPC-style set
 * (InvalidArgument, NotFound, AlreadyExists, FailedPrecondition, Unavailable, DeadlineExceeded, ResourceExhausted,
 * Unimplemented, Cancelled, Internal).
 */
import type { Readable, Writable } from "node:stream";
import type { Exit } from "@uvm-shim/lifecycle";

export type { Exit } from "@uvm-shim/lifecycle";

export interface Platform {
  readonly os: "linux" | "windows";
  /** Makes the sandbox's VM: it exists, not started, when the promise resolves. */
  createSandbox(request: SandboxRequest, signal?: AbortSignal): Promise<Sandbox>;
  /** For `delete` after a crash: removes all that a sandbox of this id may have left. Idempotent, under 5 s. */
  cleanUp(request: { readonly namespace: string; readonly id: string; readonly bundle: string }): Promise<void>;
  /** Lets go of the host. */
  close(): Promise<void>;
}

export interface SandboxRequest {
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  /** config.json of the bundle as parsed JSON, unchecked; absent where containerd writes none (CRI sandboxes). */
  readonly spec?: unknown;
  /** Annotations of the sandbox, from the spec or the CRI configuration. */
  readonly annotations: { readonly [key: string]: string };
  /** Network namespace that the Sandbox API's caller made: a path, on Windows the GUID of an HCN namespace. */
  readonly netnsPath?: string;
  /** What nothing but the sandbox says: in a CRI pod. */
  readonly pod?: PodSettings;
  /** Whether nobody brings a container of the sandbox's id that would hold its namespaces. */
  readonly makesContainer: boolean;
  /** Runtime options as `start` was given them. */
  readonly runtimeOptions?: { readonly typeUrl: string; readonly value: Uint8Array };
}

export interface PodSettings {
  /** Text of the containers' /etc/resolv.conf; absent: the network says. */
  readonly resolvConf?: string;
  /** The cgroup of the host below which all of the pod is to be; absent: nobody asks for one. */
  readonly controlGroupParent?: string;
  /** What would stand in config.json of the sandbox's container, as parsed JSON, unchecked. */
  readonly specification: unknown;
}

export interface Sandbox {
  readonly id: string;
  readonly createdAt: Date;
  start(signal?: AbortSignal): Promise<{ readonly startedAt: Date }>;
  /** Ends containers and VM within the time; idempotent. */
  stop(timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /** Resolves once its VM has ended, however it did, or what holds its namespaces. */
  wait(signal?: AbortSignal): Promise<Exit>;
  readonly state: "created" | "running" | "stopped";
  /** Whether it takes containers: it runs, and what holds its namespaces does. */
  readonly isReady: boolean;
  /** In the guest, of what holds its namespaces; undefined where that is a task, or before the start. */
  readonly pid: number | undefined;
  createContainer(request: ContainerRequest, signal?: AbortSignal): Promise<Container>;
  container(id: string): Container | undefined;
  containers(): readonly Container[];
  /** Changes the VM itself; what is absent stays as it is. */
  update(update: ResourceUpdate, signal?: AbortSignal): Promise<void>;
  /**
   * Changes a container's limits; `resources` are OCI resources as parsed JSON, unchecked. FailedPrecondition for what
   * the VM cannot have.
   */
  updateContainer(id: string, resources: unknown, signal?: AbortSignal): Promise<void>;
  /** Resolves when the guest answers anything at all. */
  ping(signal?: AbortSignal): Promise<void>;
  /** Resolves when the host answers anything at all; at once where that would tell nothing. */
  pingHost(signal?: AbortSignal): Promise<void>;
  /** What the host measures of the VM as a whole. */
  statistics(signal?: AbortSignal): Promise<VmStatistics>;
  /** Gives back all that the container holds and forgets it. */
  deleteContainer(id: string, signal?: AbortSignal): Promise<Exit>;
}

export interface ResourceUpdate {
  /** OCI resources as parsed JSON, unchecked. */
  readonly resources?: unknown;
  readonly annotations: { readonly [key: string]: string };
  readonly policyFragment?: { readonly fragment: string; readonly mediaType?: string };
}

export interface VmStatistics {
  readonly processor: { readonly totalRuntimeNs: number };
  readonly memory: {
    readonly workingSetBytes: number;
    readonly virtualNodeCount: number;
    /** Memory in pages of 4 KiB. */
    readonly vmMemory: {
      readonly availableMemory: number;
      readonly availableMemoryBuffer: number;
      readonly reservedMemory: number;
      readonly assignedMemory: number;
      readonly slpActive: boolean;
      readonly balancingEnabled: boolean;
      readonly dmOperationInProgress: boolean;
    };
  };
}

/** cgroup metrics of version 1 or 2, with the names of io.containerd.cgroups.v1 and v2. */
export interface ContainerStatistics {
  readonly version: 1 | 2;
  readonly metrics: object;
}

export interface ContainerRequest {
  readonly id: string;
  readonly bundle: string;
  /** config.json as parsed JSON, unchecked. */
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioPaths;
  /** Called whenever the guest's kernel has killed something in the container for want of memory. */
  readonly onOutOfMemory: () => void;
}

export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options: readonly string[];
}

export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
  /** Whose stdio it is; a logging binary is told. */
  readonly containerId?: string;
}

export interface Container {
  readonly id: string;
  readonly bundle: string;
  readonly init: Process;
  /** The init process for the empty exec id, else the exec. */
  process(execId: string): Process | undefined;
  processes(): readonly Process[];
  /** `spec` is the OCI process as parsed JSON, unchecked. */
  createProcess(request: { execId: string; spec: unknown; stdio: StdioPaths }, signal?: AbortSignal): Promise<Process>;
  deleteProcess(execId: string, signal?: AbortSignal): Promise<Exit>;
  /** What the guest measures of the container. FailedPrecondition unless it runs. */
  statistics(signal?: AbortSignal): Promise<ContainerStatistics>;
  /** Pids in the guest. */
  pids(signal?: AbortSignal): Promise<readonly { readonly pid: number; readonly execId?: string }[]>;
  readonly isPaused: boolean;
  /** Stops every process where it stands. */
  pause(signal?: AbortSignal): Promise<void>;
  resume(signal?: AbortSignal): Promise<void>;
  /** Signals every process of the container. */
  killAll(signalNumber: number, signal?: AbortSignal): Promise<void>;
}

export interface Process {
  /** Empty for init. */
  readonly execId: string;
  /** Pid in the guest; 0 before the start where the guest does not tell it. */
  readonly pid: number;
  readonly stdio: StdioPaths;
  readonly state: "created" | "running" | "stopped";
  readonly exit: Exit | undefined;
  /** Whether it has ended, be it that its exit is told only when its output has reached the client. */
  readonly hasEnded: boolean;
  start(signal?: AbortSignal): Promise<number>;
  kill(signalNumber: number, signal?: AbortSignal): Promise<void>;
  resize(width: number, height: number, signal?: AbortSignal): Promise<void>;
  closeStdin(signal?: AbortSignal): Promise<void>;
  /** Resolves when the process has exited and its output is drained. */
  wait(signal?: AbortSignal): Promise<Exit>;
}

/** Opens the client's ends of a process's stdio; handed to the platform, which hands it to its processes. */
export interface UpstreamStdio {
  open(paths: StdioPaths, signal?: AbortSignal): Promise<OpenStdio>;
}

export interface OpenStdio {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** The client wants stdin to end: it does once whoever else may still write to it has gone, and not before. Repeatable. */
  closeStdin(): void;
  close(): Promise<void>;
}

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

export interface Log {
  log(level: LogLevel, message: string, fields?: { readonly [key: string]: unknown }): void;
}
