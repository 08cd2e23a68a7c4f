/**
 * The procedures of the protocol: their numbers, and the fields of their requests and responses besides ContainerId and
 * ActivityId (requests) or Result and the error fields (responses). Numbers 14 and 15 (update container, lifecycle
 * notification) are not used with Linux guests and are answered as unknown messages.
 */
import type { GuestRequestType, SchemaVersion } from "@uvm-shim/hcs-schema";
import { Fields } from "./fields.ts";
import { messageType } from "./wire.ts";

/** A body without fields of its own. */
export type NoFields = { readonly [name in never]: never };

export interface CreateRequest {
  /** JSON in a string: LinuxHostedContainerSettings, or `UvmConfig` for the VM itself. */
  readonly ContainerConfig: string;
}

export interface ExecuteProcessRequest {
  readonly Settings: {
    /** JSON in a string: LinuxProcessParameters. */
    readonly ProcessParameters: string;
    readonly VsockStdioRelaySettings?: VsockStdioRelaySettings;
  };
}

/** Ports of the host that the guest dials, one for each stream with a pipe. */
export interface VsockStdioRelaySettings {
  readonly StdIn?: number;
  readonly StdOut?: number;
  readonly StdErr?: number;
}

export interface ExecuteProcessResponse {
  readonly ProcessId: number;
}

/** TimeoutInMs of a wait without a timeout. */
export const infiniteTimeout = 0xffffffff;

export interface WaitForProcessRequest {
  readonly ProcessId: number;
  readonly TimeoutInMs: number;
}

export interface WaitForProcessResponse {
  readonly ExitCode: number;
}

export interface SignalProcessRequest {
  readonly ProcessId: number;
  /** Absent, or Signal 0: SIGKILL. */
  readonly Options?: { readonly Signal: number };
}

export interface ResizeConsoleRequest {
  readonly ProcessId: number;
  readonly Height: number;
  readonly Width: number;
}

export interface GetPropertiesRequest {
  /** JSON in a string: `{"PropertyTypes": [...]}`; empty requests the default. */
  readonly Query: string;
}

export interface GetPropertiesResponse {
  /** JSON in a string. */
  readonly Properties: string;
}

export interface ModifySettingsRequest {
  /** The settings are checked by the reader of the resource type. */
  readonly Request: {
    readonly ResourceType: string;
    readonly RequestType: GuestRequestType;
    readonly Settings?: unknown;
  };
}

export interface NegotiateProtocolRequest {
  readonly MinimumVersion: number;
  readonly MaximumVersion: number;
}

export interface NegotiateProtocolResponse {
  readonly Version: number;
  readonly Capabilities: GcsCapabilities;
}

/** What a guest can do, reported once in the negotiation. */
export interface GcsCapabilities {
  /** The host must send a create message for the VM itself. */
  readonly SendHostCreateMessage: boolean;
  /** After that, the host must also send a start message for it. */
  readonly SendHostStartMessage: boolean;
  readonly SupportedSchemaVersions: readonly SchemaVersion[];
  /** "Linux" or "Windows". */
  readonly RuntimeOsType: string;
  readonly GuestDefinedCapabilities: GuestDefinedCapabilities;
}

export interface GuestDefinedCapabilities {
  readonly NamespaceAddRequestSupported: boolean;
  readonly SignalProcessSupported: boolean;
  readonly DumpStacksSupported: boolean;
  readonly DeleteContainerStateSupported: boolean;
  /** Containers can be paused. Only this project's guests have it; absent is false. */
  readonly PauseContainerSupported?: boolean;
}

export interface DumpStacksResponse {
  readonly GuestStacks: string;
}

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
}

export type Procedure = keyof ProcedureBodies;
export type RequestBody<P extends Procedure> = ProcedureBodies[P]["request"];
export type ResponseBody<P extends Procedure> = ProcedureBodies[P]["response"];

export interface ProcedureEntry<P extends Procedure> {
  readonly number: number;
  /** Throws a FieldError. */
  readonly readRequest: (fields: Fields) => RequestBody<P>;
  /** Throws a FieldError. */
  readonly readResponse: (fields: Fields) => ResponseBody<P>;
}

const noFields = (): NoFields => ({});

export const procedures: { readonly [P in Procedure]: ProcedureEntry<P> } = {
  create: {
    number: 1,
    readRequest: (fields) => ({ ContainerConfig: fields.text("ContainerConfig") }),
    readResponse: noFields,
  },
  start: { number: 2, readRequest: noFields, readResponse: noFields },
  shutdownGraceful: { number: 3, readRequest: noFields, readResponse: noFields },
  shutdownForced: { number: 4, readRequest: noFields, readResponse: noFields },
  executeProcess: {
    number: 5,
    readRequest: (fields) => {
      const settings = fields.object("Settings");
      const ports = settings.optionalObject("VsockStdioRelaySettings");
      return {
        Settings: {
          ProcessParameters: settings.text("ProcessParameters"),
          VsockStdioRelaySettings: { ...port(ports, "StdIn"), ...port(ports, "StdOut"), ...port(ports, "StdErr") },
        },
      };
    },
    readResponse: (fields) => ({ ProcessId: fields.integer("ProcessId", 1, 0x7fffffff) }),
  },
  waitForProcess: {
    number: 6,
    readRequest: (fields) => ({
      ProcessId: fields.unsigned32("ProcessId"),
      TimeoutInMs: fields.unsigned32("TimeoutInMs"),
    }),
    readResponse: (fields) => ({ ExitCode: fields.unsigned32("ExitCode") }),
  },
  signalProcess: {
    number: 7,
    readRequest: (fields) => ({
      ProcessId: fields.unsigned32("ProcessId"),
      ...(fields.has("Options") ? { Options: { Signal: fields.object("Options").integer("Signal", 0, 64) } } : {}),
    }),
    readResponse: noFields,
  },
  resizeConsole: {
    number: 8,
    readRequest: (fields) => ({
      ProcessId: fields.unsigned32("ProcessId"),
      Height: fields.integer("Height", 0, 0xffff),
      Width: fields.integer("Width", 0, 0xffff),
    }),
    readResponse: noFields,
  },
  getProperties: {
    number: 9,
    readRequest: (fields) => ({ Query: fields.optionalText("Query") ?? "" }),
    readResponse: (fields) => ({ Properties: fields.text("Properties") }),
  },
  modifySettings: {
    number: 10,
    readRequest: (fields) => {
      const request = fields.object("Request");
      return {
        Request: {
          ResourceType: request.text("ResourceType"),
          RequestType: readRequestType(request),
          Settings: request.raw("Settings"),
        },
      };
    },
    readResponse: noFields,
  },
  negotiateProtocol: {
    number: 11,
    readRequest: (fields) => ({
      MinimumVersion: fields.unsigned32("MinimumVersion"),
      MaximumVersion: fields.unsigned32("MaximumVersion"),
    }),
    readResponse: (fields) => ({
      Version: fields.unsigned32("Version"),
      Capabilities: readCapabilities(fields.optionalObject("Capabilities")),
    }),
  },
  dumpStacks: {
    number: 12,
    readRequest: noFields,
    readResponse: (fields) => ({ GuestStacks: fields.text("GuestStacks") }),
  },
  deleteContainerState: { number: 13, readRequest: noFields, readResponse: noFields },
};

const proceduresByRequestType = new Map<number, Procedure>(
  (Object.keys(procedures) as Procedure[]).map((name) => [messageType("request", procedures[name].number), name]),
);

/** Undefined if the message type is unknown. */
export function procedureOfRequest(type: number): Procedure | undefined {
  return proceduresByRequestType.get(type);
}

const requestTypes: readonly GuestRequestType[] = ["Add", "Remove", "PreAdd", "Update"];

function readRequestType(request: Fields): GuestRequestType {
  // The real guest takes an absent request type as Add.
  const text = request.optionalText("RequestType") ?? "";
  if (text === "") return "Add";
  const type = requestTypes.find((known) => known === text);
  if (type === undefined) throw request.rejected("RequestType", `one of ${requestTypes.join(", ")}`);
  return type;
}

function port(ports: Fields, name: "StdIn" | "StdOut" | "StdErr"): VsockStdioRelaySettings {
  const number = ports.has(name) ? ports.unsigned32(name) : 0;
  return number === 0 ? {} : { [name]: number };
}

function readCapabilities(fields: Fields): GcsCapabilities {
  const defined = fields.optionalObject("GuestDefinedCapabilities");
  return {
    SendHostCreateMessage: fields.flag("SendHostCreateMessage"),
    SendHostStartMessage: fields.flag("SendHostStartMessage"),
    SupportedSchemaVersions: fields.list("SupportedSchemaVersions", (item, path) => {
      const version = new Fields(item, path);
      // The real guest omits zeros.
      return {
        Major: version.has("Major") ? version.unsigned32("Major") : 0,
        Minor: version.has("Minor") ? version.unsigned32("Minor") : 0,
      };
    }),
    RuntimeOsType: fields.optionalText("RuntimeOsType", 64) ?? "",
    GuestDefinedCapabilities: {
      NamespaceAddRequestSupported: defined.flag("NamespaceAddRequestSupported"),
      SignalProcessSupported: defined.flag("SignalProcessSupported"),
      DumpStacksSupported: defined.flag("DumpStacksSupported"),
      DeleteContainerStateSupported: defined.flag("DeleteContainerStateSupported"),
      ...(defined.flag("PauseContainerSupported") ? { PauseContainerSupported: true } : {}),
    },
  };
}
