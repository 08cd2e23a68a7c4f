/**
 * The procedures of the protocol: their numbers, and how their requests and responses are read. Numbers 14 and 15 (update
 * container, lifecycle notification) are not used and are answered as unknown messages.
 */
import { type GuestRequestType, guidPattern, type WindowsSignal, windowsSignals } from "@uvm-shim/hcs-schema";
import { Fields } from "./fields.ts";
import type {
  GcsCapabilities,
  NoFields,
  Procedure,
  RequestBody,
  ResponseBody,
  ServicePropertyType,
  StdioRelaySettings,
  VsockStdioRelaySettings,
} from "./procedure-bodies.ts";
import { type MessageCategory, type MessageKind, messageType } from "./wire.ts";

/** TimeoutInMs of a wait without a timeout. */
export const infiniteTimeout = 0xffffffff;

/** How a procedure is written on the wire, and how its bodies are checked. */
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

/** The table of procedures. Numbers are those of hcsshim's internal/gcs/prot. */
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

const servicePropertyTypes: readonly ServicePropertyType[] = ["LogForwardService"];

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
