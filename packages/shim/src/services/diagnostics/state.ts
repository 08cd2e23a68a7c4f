/**
 * The answer of Inspect's State: one JSON object, whose type this is. All times are texts in the form of ISO 8601. `since`
 * is when the shim saw the part enter its state; it is absent for parts that are in their first state. Fields are only
 * ever added; `version` changes if one is removed or means something else.
 */
export interface StateTree {
  readonly version: 1;
  readonly takenAt: string;
  readonly shim: ShimState;
  /** Absent until the shim has loaded what talks to the host. */
  readonly host?: HostState;
  /** Absent while there is none. */
  readonly sandbox?: SandboxState;
  /** Absent until the sandbox is created. While that hangs, `calls`, `work` and `machines` show where. */
  readonly vm?: VmState;
  readonly containers: readonly ContainerState[];
  readonly disks: readonly DiskState[];
  readonly shares: readonly ShareState[];
  readonly networks: readonly NetworkState[];
  readonly devices: readonly DeviceState[];
  /** What diagnosis itself has brought into the VM. */
  readonly diagnostics: {
    readonly shares: readonly { readonly hostPath: string; readonly guestPath: string; readonly readOnly: boolean }[];
    readonly programs: readonly {
      readonly id: string;
      readonly program: string;
      readonly pid: number;
      readonly state: string;
      readonly since?: string;
    }[];
  };
  /** Calls that the shim has not answered yet. */
  readonly calls: readonly CallState[];
  /** Phases, calls of the host and requests to the guest that have not ended. */
  readonly work: readonly WorkState[];
  /** The last change of each state machine, the latest last. */
  readonly machines: readonly MachineLine[];
  /** The queue of events to containerd. */
  readonly events: {
    readonly queued: number;
    readonly dropped: number;
    readonly lastError?: { readonly message: string; readonly at: string };
  };
}

/** All of a shim, as JSON. Times are in the form of ISO 8601, and what is not known is absent. */
export interface ShimState {
  /** Of the executable. */
  readonly name: string;
  readonly version: string;
  readonly flavour?: Flavour;
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly runtime: string;
  /** In bytes. */
  readonly memory: {
    readonly rss: number;
    readonly heapUsed: number;
    readonly heapTotal: number;
    readonly external: number;
  };
  /** Share of its time for which the event loop was busy since the start, 0 to 1. */
  readonly eventLoop: { readonly utilization: number };
  /** Open file descriptors, where the system tells. */
  readonly descriptors?: { readonly open: number };
  /** How many of each kind of Node's handles keep it running. */
  readonly handles: { readonly [kind: string]: number };
}

/** Whose guests a shim runs: Linux' (`lcow`) or Windows' (`wcow`). */
export type Flavour = "lcow" | "wcow";

/** The host, and whether the shim has connected to it. */
export interface HostState {
  readonly kind: "emulated" | "windows";
  readonly address?: string;
  readonly connected: boolean;
}

/** How something ended, and when. */
export interface ExitState {
  readonly status: number;
  readonly at: string;
  readonly reason?: string;
}

/** The sandbox of a shim. */
export interface SandboxState {
  readonly id: string;
  readonly namespace: string;
  /** "classic": comes and goes with the task of its id. "api": made by the Sandbox API. */
  readonly mode?: "classic" | "api";
  readonly os?: "linux" | "windows";
  readonly state: "creating" | "created" | "running" | "stopped";
  readonly since?: string;
  /** Whether it accepts containers. */
  readonly ready: boolean;
  readonly stopping: boolean;
  /** In the guest, of the process that holds the pod's namespaces. */
  readonly pid?: number;
  readonly createdAt?: string;
  readonly exit?: ExitState;
}

/** The sandbox's VM. */
export interface VmState {
  readonly id: string;
  readonly runtimeId?: string;
  readonly state: string;
  readonly since?: string;
  readonly startedAt?: string;
  readonly memoryInMb?: number;
  /** Whether the connection to its guest is gone. */
  readonly isLost: boolean;
  readonly exit?: ExitState;
  /** Names of what it holds, in the order of acquisition. */
  readonly held: readonly string[];
}

/** A container, or a task that has none. */
export interface ContainerState {
  readonly id: string;
  /** Of the container's state machine; "creating" or "deleted" for a task that has none. */
  readonly state: string;
  readonly since?: string;
  readonly paused: boolean;
  readonly bundle?: string;
  readonly held: readonly string[];
  readonly processes: readonly ProcessState[];
}

/** A process of a container. */
export interface ProcessState {
  /** Empty for the init process. */
  readonly execId: string;
  readonly state: "creating" | "created" | "running" | "stopped";
  readonly since?: string;
  readonly pid?: number;
  /** Whether it has ended while its output is still on its way to the client. */
  readonly isDraining?: boolean;
  readonly exit?: ExitState;
  /** Paths as the client gave them; the arguments of a logging binary are left out. */
  readonly stdio?: {
    readonly stdin: string;
    readonly stdout: string;
    readonly stderr: string;
    readonly terminal: boolean;
  };
}

/** A disk of the VM. */
export interface DiskState {
  readonly hostPath: string;
  readonly controller: number;
  readonly lun: number;
  readonly state: string;
  readonly since?: string;
  /** Whether the VM has had it since its creation. */
  readonly isOfDocument: boolean;
  readonly mounts: readonly {
    readonly guestPath: string;
    readonly partition: number;
    readonly state: string;
    readonly since?: string;
    readonly holders: number;
  }[];
}

/** A shared folder, or a mapped pipe. */
export interface ShareState {
  readonly kind: "plan9" | "vsmb" | "pipe";
  readonly hostPath: string;
  readonly name?: string;
  readonly state: string;
  readonly since?: string;
  /** The state of its mount in the guest, where it has one. */
  readonly mount?: string;
  readonly holders: number;
}

/** The pod's network in the VM. */
export interface NetworkState {
  readonly namespaceId: string;
  readonly state: string;
  readonly since?: string;
  readonly nics: readonly {
    readonly id: string;
    readonly endpointId: string;
    readonly name: string;
    readonly isComplete: boolean;
  }[];
}

/** A device that is assigned to the VM. */
export interface DeviceState {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
  readonly vmBusGuid: string;
  readonly state: string;
  readonly since?: string;
  readonly holders: number;
}

/** A call that waits for its answer, and for how long. */
export interface CallState {
  readonly method: string;
  readonly since: string;
  readonly milliseconds: number;
  readonly activityId?: string;
}

/** Work under way, and for how long. */
export interface WorkState {
  readonly kind: string;
  readonly name: string;
  readonly attributes: { readonly [name: string]: string | number | boolean };
  readonly activityId?: string;
  readonly since: string;
  readonly milliseconds: number;
  /** Names of the work that it is a part of, the outermost first. */
  readonly within: readonly string[];
}

/** A state machine: its state, and what last happened to it. */
export interface MachineLine {
  readonly subject: string;
  readonly id: string;
  readonly state: string;
  readonly since: string;
  /** The last operation or event, which need not have changed the state. */
  readonly operation: string;
  readonly outcome: "success" | "failure" | "event";
}
