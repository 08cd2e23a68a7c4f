/**
 * The interfaces that the shim requires of the code behind it. The services translate containerd's messages to these
 * types and back; the composition root of each flavour (apps/shim-lcow, apps/shim-wcow) connects them to controllers.
 * Errors carry a `code` of the closed gRPC-style list (see errors.ts).
 */
import type { Readable, Writable } from "node:stream";
import type { Exit } from "@uvm-shim/lifecycle";
import type { HostDescription, SandboxDescription, VmShare } from "./description.ts";
import type { PlannedVm } from "./ready-vms.ts";

export type { Exit } from "@uvm-shim/lifecycle";

/** Satisfied by apps/shim-lcow (`createLcowPlatform`) and apps/shim-wcow (`createWcowPlatform`). */
export interface Platform {
  readonly os: "linux" | "windows";
  /** Resolves once the sandbox's VM exists; it is not started. */
  createSandbox(request: SandboxRequest, signal?: AbortSignal): Promise<Sandbox>;
  /** Removes everything that a crashed shim may have left of this sandbox, within 5 s. Idempotent. */
  cleanUp(request: { readonly namespace: string; readonly id: string; readonly bundle: string }): Promise<void>;
  describeHost(): HostDescription;
  /** What would be booted now for a pod without settings; absent where each pod's VM boots from files of its own. */
  planVm?(): Promise<PlannedVm>;
  /** Ends a VM that waited for a pod in a process that was killed. Idempotent. */
  endReadyVm?(id: string): Promise<void>;
  /** Disconnects from the host. */
  close(): Promise<void>;
}

/** Built by the shim's own services; read by apps/shim-lcow and apps/shim-wcow. */
export interface SandboxRequest {
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  /** config.json of the bundle as parsed JSON, unchecked; absent for CRI sandboxes, which have none. */
  readonly spec?: unknown;
  /** From config.json or the CRI pod configuration. */
  readonly annotations: { readonly [key: string]: string };
  /** The network namespace that the Sandbox API's client made: a path, or on Windows the GUID of an HCN namespace. */
  readonly netnsPath?: string;
  /** The root file system of the task that makes the sandbox; absent for the Sandbox API, whose client has none. */
  readonly rootfs?: readonly RootfsMount[];
  /** Present for CRI pods. */
  readonly pod?: PodSettings;
  /** Whether the platform must make the container that holds the pod's namespaces, because no client creates it. */
  readonly makesContainer: boolean;
  /** Runtime options as passed to `start`. */
  readonly runtimeOptions?: { readonly typeUrl: string; readonly value: Uint8Array };
}

/** Built by the shim from the CRI pod configuration; read by apps/shim-lcow. */
export interface PodSettings {
  /** Text of the containers' /etc/resolv.conf; if absent, the network decides. */
  readonly resolvConf?: string;
  /** The parent cgroup on the host for the whole pod; absent if the client requests none. */
  readonly controlGroupParent?: string;
  /** Equivalent of config.json of the sandbox's container, as parsed JSON, unchecked. */
  readonly specification: unknown;
}

/** Satisfied by `PodController` of packages/controller-pod. */
export interface Sandbox {
  readonly id: string;
  readonly createdAt: Date;
  start(signal?: AbortSignal): Promise<{ readonly startedAt: Date }>;
  /** Ends containers and VM within the time; idempotent. */
  stop(timeoutMs: number, signal?: AbortSignal): Promise<void>;
  /** Resolves once the VM, or the container that holds the pod's namespaces, has ended for whatever reason. */
  wait(signal?: AbortSignal): Promise<Exit>;
  readonly state: "created" | "running" | "stopped";
  /** Whether it accepts containers: the VM and the container that holds the pod's namespaces both run. */
  readonly isReady: boolean;
  /** Guest pid of the process that holds the pod's namespaces; undefined before the start, and where that is a task. */
  readonly pid: number | undefined;
  createContainer(request: ContainerRequest, signal?: AbortSignal): Promise<Container>;
  container(id: string): Container | undefined;
  containers(): readonly Container[];
  /** Changes the VM itself; absent fields stay as they are. */
  update(update: ResourceUpdate, signal?: AbortSignal): Promise<void>;
  /**
   * Changes a container's limits; `resources` are OCI resources as parsed JSON, unchecked. Throws FailedPrecondition for
   * limits that do not fit into the VM.
   */
  updateContainer(id: string, resources: unknown, signal?: AbortSignal): Promise<void>;
  /** Resolves when the guest answers. */
  ping(signal?: AbortSignal): Promise<void>;
  /** Resolves when the host answers; at once for hosts whose answer would show nothing. */
  pingHost(signal?: AbortSignal): Promise<void>;
  /** The host's measurements of the VM as a whole. */
  statistics(signal?: AbortSignal): Promise<VmStatistics>;
  /** Releases everything that the container holds and forgets it. */
  deleteContainer(id: string, signal?: AbortSignal): Promise<Exit>;
  /**
   * Runs a program of the VM itself, outside of all containers. Resolves when it has ended and its output is drained;
   * ends it when the signal aborts.
   */
  executeInVm(program: VmProgram, signal?: AbortSignal): Promise<Exit>;
  /** Stacks of the guest's own programs; undefined where the guest cannot dump them. */
  dumpStacks(signal?: AbortSignal): Promise<string | undefined>;
  /** Shows a folder of the host in the VM until the pod ends. Idempotent. */
  share(share: VmShare, signal?: AbortSignal): Promise<void>;
  /** The host's properties of the VM, as it writes them. */
  vmProperties(signal?: AbortSignal): Promise<object>;
  describe(): SandboxDescription;
}

/** Built by the shim's services; read by packages/controller-pod. */
export interface VmProgram {
  readonly args: readonly string[];
  /** Empty for the guest's usual one. */
  readonly workingDirectory: string;
  readonly stdio: StdioPaths;
}

/** Built by the shim's services; read by packages/controller-pod. */
export interface ResourceUpdate {
  /** OCI resources as parsed JSON, unchecked. */
  readonly resources?: unknown;
  readonly annotations: { readonly [key: string]: string };
  readonly policyFragment?: { readonly fragment: string; readonly mediaType?: string };
}

/** Built by packages/controller-pod from the host's properties. */
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

/**
 * Of a Linux container, cgroup metrics of version 1 or 2, with the field names of io.containerd.cgroups.v1 and v2. Built
 * by packages/controller-container and packages/controller-container-wcow from the guest's answer.
 */
export type ContainerStatistics =
  | { readonly version: 1 | 2; readonly metrics: object }
  | { readonly version: "windows"; readonly metrics: WindowsMetrics };

/** A Windows guest's measurements of a container, by HCS's names: times are counts of 100 ns. */
export interface WindowsMetrics {
  /** In the form of ISO 8601. */
  readonly Timestamp?: string;
  readonly ContainerStartTime?: string;
  readonly Uptime100ns?: number;
  readonly Processor?: {
    readonly TotalRuntime100ns?: number;
    readonly RuntimeUser100ns?: number;
    readonly RuntimeKernel100ns?: number;
  };
  readonly Memory?: {
    readonly MemoryUsageCommitBytes?: number;
    readonly MemoryUsageCommitPeakBytes?: number;
    readonly MemoryUsagePrivateWorkingSetBytes?: number;
  };
  readonly Storage?: {
    readonly ReadCountNormalized?: number;
    readonly ReadSizeBytes?: number;
    readonly WriteCountNormalized?: number;
    readonly WriteSizeBytes?: number;
  };
}

/** What a Windows guest knows of a process, by HCS's names. */
export interface WindowsProcessFigures {
  readonly ImageName?: string;
  readonly CreateTimestamp?: string;
  readonly UserTime100ns?: number;
  readonly KernelTime100ns?: number;
  readonly MemoryCommitBytes?: number;
  readonly MemoryWorkingSetPrivateBytes?: number;
  readonly MemoryWorkingSetSharedBytes?: number;
}

/** A folder of the host for a running container. Built by the shim's services; read by packages/controller-container-wcow. */
export interface AddedMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
}

/** A process of a container in its guest. */
export interface ListedProcess {
  readonly pid: number;
  /** Present for processes that clients know, unless it is the init process. */
  readonly execId?: string;
  /** Present for Windows processes. */
  readonly details?: WindowsProcessFigures;
}

/** Built by the shim's services; read by packages/controller-pod and packages/controller-container. */
export interface ContainerRequest {
  readonly id: string;
  readonly bundle: string;
  /** config.json as parsed JSON, unchecked. */
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioPaths;
  /** Called whenever the guest's kernel has killed a process of the container because memory ran out. */
  readonly onOutOfMemory: () => void;
}

/** Built by the shim from containerd's Mount; read by packages/controller-container. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options: readonly string[];
}

/** Built by the shim's services; passed through packages/controller-process back to `UpstreamStdio`. */
export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
  /** The container's id, which a logging binary receives. */
  readonly containerId?: string;
  /** Whether stdin ends with its first writer, for clients that cannot ask for its end and do not come back. */
  readonly endsWithWriter?: boolean;
}

/**
 * Satisfied by `LinuxContainerController` of packages/controller-container, `WindowsContainerController` of
 * packages/controller-container-wcow and, for the task of a sandbox that has no container, by the shim itself.
 */
export interface Container {
  readonly id: string;
  readonly bundle: string;
  readonly init: Process;
  /** The empty exec id names the init process. */
  process(execId: string): Process | undefined;
  processes(): readonly Process[];
  /** `spec` is the OCI process as parsed JSON, unchecked. */
  createProcess(request: { execId: string; spec: unknown; stdio: StdioPaths }, signal?: AbortSignal): Promise<Process>;
  deleteProcess(execId: string, signal?: AbortSignal): Promise<Exit>;
  /** The guest's measurements of the container. Throws FailedPrecondition unless it runs. */
  statistics(signal?: AbortSignal): Promise<ContainerStatistics>;
  pids(signal?: AbortSignal): Promise<readonly ListedProcess[]>;
  /** Absent where running containers take no further mounts. */
  addMount?(mount: AddedMount, signal?: AbortSignal): Promise<void>;
  /**
   * Whether nothing is lost if the VM ends before the container is deleted, once all of its processes have ended. No when
   * absent.
   */
  readonly canEndWithVm?: boolean;
  readonly isPaused: boolean;
  /** Freezes every process. */
  pause(signal?: AbortSignal): Promise<void>;
  resume(signal?: AbortSignal): Promise<void>;
  /** Signals every process of the container. */
  killAll(signalNumber: number, signal?: AbortSignal): Promise<void>;
}

/** Satisfied by `ProcessController` of packages/controller-process. */
export interface Process {
  /** Empty for the init process. */
  readonly execId: string;
  /** Guest pid; 0 before the start where the guest does not report it. */
  readonly pid: number;
  readonly stdio: StdioPaths;
  readonly state: "created" | "running" | "stopped";
  readonly exit: Exit | undefined;
  /** Whether it has ended, even if its exit is not reported yet because output is still on its way to the client. */
  readonly hasEnded: boolean;
  start(signal?: AbortSignal): Promise<number>;
  kill(signalNumber: number, signal?: AbortSignal): Promise<void>;
  resize(width: number, height: number, signal?: AbortSignal): Promise<void>;
  closeStdin(signal?: AbortSignal): Promise<void>;
  /** Resolves once the process has exited and its output is drained. */
  wait(signal?: AbortSignal): Promise<Exit>;
}

/** Opens the client's ends of a process's stdio. Satisfied by the shim itself (system/stdio-*.ts), used by packages/controller-process. */
export interface UpstreamStdio {
  open(paths: StdioPaths, signal?: AbortSignal): Promise<OpenStdio>;
}

/** Satisfied by the shim itself (system/stdio-*.ts). */
export interface OpenStdio {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /**
   * Prepares to move the rest of an output without reading it; undefined if that cannot be done between these streams.
   * Absent where none could.
   */
  readonly moveOutput?: (source: Readable, sink: Writable) => Promise<OutputMove | undefined>;
  /** Lets stdin end once its last writer has closed it. Idempotent. */
  closeStdin(): void;
  close(): Promise<void>;
}

/** The rest of an output on its way to the client, which this process does not read. */
export interface OutputMove {
  /** Stops the reading of the source. To be called when everything that was read has been taken from the stream. */
  hold(): void;
  /** Moves from now on. To be called when everything that was read has been written. */
  begin(watcher: MoveWatcher): void;
  /** The source is read again as before. Repeatable. */
  stop(): void;
}

/** What an {@link OutputMove} tells of its work. */
export interface MoveWatcher {
  moved(bytes: number): void;
  /** The client does not read; so many bytes wait for it. */
  waits(unread: number): void;
  /** It has stopped by itself, and the source is read again as before. That shows whether it is at its end. */
  stopped(): void;
}

/** The levels of a log, from the least to the most severe. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** Satisfied by the shim itself (system/log.ts, log-served.ts, limited-log.ts). */
export interface Log {
  log(level: LogLevel, message: string, fields?: { readonly [key: string]: unknown }): void;
}
