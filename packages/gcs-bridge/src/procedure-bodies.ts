/**
 * The fields of requests and responses besides ContainerId and ActivityId (requests) or Result and the error fields
 * (responses), by the names that they have on the wire.
 */
import type { GuestRequestType, SchemaVersion, WindowsSignal } from "@uvm-shim/hcs-schema";

/** A body without fields of its own. */
export type NoFields = { readonly [name in never]: never };

/** Creates a container, without starting it; or begins the VM itself. */
export interface CreateRequest {
  /** JSON in a string: the container's settings, or UvmConfig for the VM itself. */
  readonly ContainerConfig: string;
}

/** Starts a process in a container, or in the VM itself, whose stdio the guest connects before it answers. */
export interface ExecuteProcessRequest {
  readonly Settings: {
    /** JSON in a string: LinuxProcessParameters or WindowsProcessParameters. */
    readonly ProcessParameters: string;
    /** For a Linux guest. */
    readonly VsockStdioRelaySettings?: VsockStdioRelaySettings;
    /** For a Windows guest. */
    readonly StdioRelaySettings?: StdioRelaySettings;
  };
}

/** Ports of the host that the guest dials, one for each stream with a pipe. */
export interface VsockStdioRelaySettings {
  readonly StdIn?: number;
  readonly StdOut?: number;
  readonly StdErr?: number;
}

/** Hvsocket services of the host that the guest dials, one for each stream with a pipe. */
export interface StdioRelaySettings {
  readonly StdIn?: string;
  readonly StdOut?: string;
  readonly StdErr?: string;
}

/** The process's id in the guest, by which later requests name it. */
export interface ExecuteProcessResponse {
  readonly ProcessId: number;
}

/** Asks for the exit of a process; the timeout is in milliseconds. */
export interface WaitForProcessRequest {
  readonly ProcessId: number;
  readonly TimeoutInMs: number;
}

/** How the process ended, as the guest's system numbers it. */
export interface WaitForProcessResponse {
  readonly ExitCode: number;
}

/** Signals one process. */
export interface SignalProcessRequest {
  readonly ProcessId: number;
  /** A number for a Linux guest, where 0 is SIGKILL; a console event for a Windows guest. Absent: SIGKILL or termination. */
  readonly Options?: { readonly Signal: number | WindowsSignal };
}

/** The size of a process's terminal, in characters. */
export interface ResizeConsoleRequest {
  readonly ProcessId: number;
  readonly Height: number;
  readonly Width: number;
}

/** Asks what a container is doing: its processes, its statistics. */
export interface GetPropertiesRequest {
  /** JSON in a string: `{"PropertyTypes": [...]}`; empty requests the default. */
  readonly Query: string;
}

/** What was asked for. It is the guest's text: read it within bounds. */
export interface GetPropertiesResponse {
  /** JSON in a string. */
  readonly Properties: string;
}

/** Adds, removes or updates one resource of the VM or of a container. */
export interface ModifySettingsRequest {
  /** The settings are checked by the reader of the resource type. */
  readonly Request: {
    /** Absent from a change of a Windows guest's container. */
    readonly ResourceType?: string;
    /** What is changed in a Windows guest's container. */
    readonly ResourcePath?: string;
    readonly RequestType: GuestRequestType;
    readonly Settings?: unknown;
  };
}

/** The versions of the protocol that the host speaks. */
export interface NegotiateProtocolRequest {
  readonly MinimumVersion: number;
  readonly MaximumVersion: number;
}

/** The version that the guest has chosen, and what it can do. */
export interface NegotiateProtocolResponse {
  readonly Version: number;
  readonly Capabilities: GcsCapabilities;
}

/** Changes a service of a Windows guest. */
export interface ModifyServiceSettingsRequest {
  readonly PropertyType: ServicePropertyType;
  /** The service checks them. */
  readonly Settings?: unknown;
}

/** What of the guest's services can be changed. */
export type ServicePropertyType = "LogForwardService";

/** What a guest can do, reported once in the negotiation. */
export interface GcsCapabilities {
  /** The host must send a create message for the VM itself. */
  readonly SendHostCreateMessage: boolean;
  /** After that, the host must also send a start message for it. */
  readonly SendHostStartMessage: boolean;
  /** The guest takes its hvsocket address when it starts. */
  readonly HvSocketConfigOnStartup?: boolean;
  readonly SendLifecycleNotifications?: boolean;
  readonly ModifyServiceSettingsSupported?: boolean;
  readonly SupportedSchemaVersions: readonly SchemaVersion[];
  /** "Linux" or "Windows"; Windows guests may leave it empty. */
  readonly RuntimeOsType: string;
  readonly GuestDefinedCapabilities: GuestDefinedCapabilities;
}

/** What a guest's agent can do, beside what every guest can. A field that the guest leaves out is false. */
export interface GuestDefinedCapabilities {
  readonly NamespaceAddRequestSupported: boolean;
  readonly SignalProcessSupported: boolean;
  readonly DumpStacksSupported: boolean;
  readonly DeleteContainerStateSupported: boolean;
  /** Containers can be paused. Only this project's guests have it; absent is false. */
  readonly PauseContainerSupported?: boolean;
  readonly UpdateContainerSupported?: boolean;
  /** Logs can be forwarded to the host. Windows guests only. */
  readonly LogForwardingSupported?: boolean;
  /** Host process containers are possible. Windows guests only. */
  readonly HostProcessContainerSupported?: boolean;
}

/** The stacks of the agent's own program, as its runtime writes them. */
export interface DumpStacksResponse {
  readonly GuestStacks: string;
}

/** The request and the response of every procedure. */
export interface ProcedureBodies {
  readonly create: { readonly request: CreateRequest; readonly response: NoFields };
  readonly start: { readonly request: NoFields; readonly response: NoFields };
  readonly shutdownGraceful: { readonly request: NoFields; readonly response: NoFields };
  readonly shutdownForced: { readonly request: NoFields; readonly response: NoFields };
  readonly executeProcess: { readonly request: ExecuteProcessRequest; readonly response: ExecuteProcessResponse };
  readonly waitForProcess: { readonly request: WaitForProcessRequest; readonly response: WaitForProcessResponse };
  readonly signalProcess: { readonly request: SignalProcessRequest; readonly response: NoFields };
  readonly resizeConsole: { readonly request: ResizeConsoleRequest; readonly response: NoFields };
  readonly getProperties: { readonly request: GetPropertiesRequest; readonly response: GetPropertiesResponse };
  readonly modifySettings: { readonly request: ModifySettingsRequest; readonly response: NoFields };
  readonly negotiateProtocol: {
    readonly request: NegotiateProtocolRequest;
    readonly response: NegotiateProtocolResponse;
  };
  readonly dumpStacks: { readonly request: NoFields; readonly response: DumpStacksResponse };
  readonly deleteContainerState: { readonly request: NoFields; readonly response: NoFields };
  readonly modifyServiceSettings: { readonly request: ModifyServiceSettingsRequest; readonly response: NoFields };
}

/** The name of a procedure. */
export type Procedure = keyof ProcedureBodies;
/** The fields of a procedure's request. */
export type RequestBody<P extends Procedure> = ProcedureBodies[P]["request"];
/** The fields of a procedure's response. */
export type ResponseBody<P extends Procedure> = ProcedureBodies[P]["response"];
