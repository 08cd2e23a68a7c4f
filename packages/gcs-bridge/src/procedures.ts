/**
 * The procedures of the protocol: their numbers, and the fields of their requests and responses besides ContainerId and
 * ActivityId (requests) or Result and the error fields (responses). Numbers 14 and 15 (update container, lifecycle
 * notification) are not used and are answered as unknown messages.
 */
import {
  type GuestRequestType,
  guidPattern,
  type SchemaVersion,
  type WindowsSignal,
  windowsSignals,
} from "@uvm-shim/hcs-schema";
import { Fields } from "./fields.ts";
import { type MessageCategory, type MessageKind, messageType } from "./wire.ts";

/** A body without fields of its own. */
export type NoFields = { readonly [name in never]: never };

export interface CreateRequest {
  /** JSON in a string: the container's settings, or UvmConfig for the VM itself. */
  readonly ContainerConfig: string;
}

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
  /** A number for a Linux guest, where 0 is SIGKILL; a console event for a Windows guest. Absent: SIGKILL or termination. */
  readonly Options?: { readonly Signal: number | WindowsSignal };
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
    /** Absent from a change of a Windows guest's container. */
    readonly ResourceType?: string;
    /** What is changed in a Windows guest's container. */
    readonly ResourcePath?: string;
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

/** Changes a service of a Windows guest. */
export interface ModifyServiceSettingsRequest {
  readonly PropertyType: ServicePropertyType;
  /** The service checks them. */
  readonly Settings?: unknown;
}

const servicePropertyTypes = ["LogForwardService"] as const;
export type ServicePropertyType = (typeof servicePropertyTypes)[number];

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
  readonly modifyServiceSettings: { readonly request: ModifyServiceSettingsRequest; readonly response: NoFields };
}

export type Procedure = keyof ProcedureBodies;
export type RequestBody<P extends Procedure> = ProcedureBodies[P]["request"];
export type ResponseBody<P extends Procedure> = ProcedureBodies[P]["response"];

export interface ProcedureEntry<P extends Procedure> {
  readonly number: number;
  /** That of compute systems if absent. */
  readonly category?: MessageCategory;
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
      const services = settings.optionalObject("StdioRelaySettings");
      return {
        Settings: {
          ProcessParameters: settings.text("ProcessParameters"),
          VsockStdioRelaySettings: { ...port(ports, "StdIn"), ...port(ports, "StdOut"), ...port(ports, "StdErr") },
          ...(settings.has("StdioRelaySettings") && {
            StdioRelaySettings: {
              ...service(services, "StdIn"),
              ...service(services, "StdOut"),
              ...service(services, "StdErr"),
            },
          }),
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
      ...(fields.has("Options") ? { Options: { Signal: readSignal(fields.object("Options")) } } : {}),
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
          ...(request.has("ResourcePath")
            ? { ResourcePath: request.text("ResourcePath") }
            : { ResourceType: request.text("ResourceType") }),
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
  modifyServiceSettings: {
    number: 1,
    category: "computeService",
    readRequest: (fields) => ({
      PropertyType: readPropertyType(fields),
      ...(fields.has("Settings") && { Settings: fields.raw("Settings") }),
    }),
    readResponse: noFields,
  },
};

const proceduresByRequestType = new Map<number, Procedure>(
  (Object.keys(procedures) as Procedure[]).map((name) => [messageTypeOf("request", name), name]),
);

/** The message type of a procedure's requests or responses. */
export function messageTypeOf(kind: MessageKind, procedure: Procedure): number {
  const { number, category } = procedures[procedure];
  return messageType(kind, number, category);
}

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

const guidLength = 36;

function service(services: Fields, name: "StdIn" | "StdOut" | "StdErr"): StdioRelaySettings {
  if (!services.has(name)) return {};
  const guid = services.text(name, guidLength);
  if (!guidPattern.test(guid)) throw services.rejected(name, "a GUID");
  return { [name]: guid };
}

const highestSignal = 64;

function readSignal(options: Fields): number | WindowsSignal {
  if (typeof options.raw("Signal") !== "string") return options.integer("Signal", 0, highestSignal);
  const text = options.text("Signal");
  const signal = windowsSignals.find((known) => known === text);
  if (signal === undefined) throw options.rejected("Signal", `one of ${windowsSignals.join(", ")}`);
  return signal;
}

function readPropertyType(fields: Fields): ServicePropertyType {
  const text = fields.text("PropertyType");
  const type = servicePropertyTypes.find((known) => known === text);
  if (type === undefined) throw fields.rejected("PropertyType", servicePropertyTypes.join(" or "));
  return type;
}

/** Only what is true, as guests leave out what they cannot do. */
function flags<const Name extends string>(fields: Fields, ...names: Name[]): { readonly [Flag in Name]?: true } {
  return Object.fromEntries(names.filter((name) => fields.flag(name)).map((name) => [name, true])) as {
    readonly [Flag in Name]?: true;
  };
}

function readCapabilities(fields: Fields): GcsCapabilities {
  const defined = fields.optionalObject("GuestDefinedCapabilities");
  return {
    SendHostCreateMessage: fields.flag("SendHostCreateMessage"),
    SendHostStartMessage: fields.flag("SendHostStartMessage"),
    ...flags(fields, "HvSocketConfigOnStartup", "SendLifecycleNotifications", "ModifyServiceSettingsSupported"),
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
      ...flags(
        defined,
        "PauseContainerSupported",
        "UpdateContainerSupported",
        "LogForwardingSupported",
        "HostProcessContainerSupported",
      ),
    },
  };
}
