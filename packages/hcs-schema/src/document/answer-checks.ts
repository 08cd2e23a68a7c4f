/** Answers of a host's services, except those about compute systems and networks. */
import { type Names, spelledAs } from "../any-case.ts";
import { answerObject, anything, type Check, integer, list, namesOf, optional, record, truth } from "../check.ts";
import { checkCounter } from "./resource-checks.ts";

/** How a service describes a failure: a ResultError of HCS, or an error record of HCN, whose Error is the message. */
export interface HostErrorDocument {
  readonly ErrorMessage?: unknown;
  readonly Error?: unknown;
  readonly ErrorCode?: unknown;
  readonly ErrorEvents?: unknown;
}

/** People read this, so an unexpected value in one field does not refuse the rest. */
export const checkHostErrorDocument: Check<HostErrorDocument> = namesOf(
  answerObject,
  "ErrorMessage",
  "Error",
  "ErrorCode",
  "ErrorEvents",
);

/** One of the ErrorEvents. */
export const checkHostErrorEvent: Check<{ readonly Message?: unknown }> = namesOf(answerObject, "Message");

/** Status of a process in a compute system. */
export interface HostProcessStatus {
  readonly ProcessId?: number;
  readonly Exited?: boolean;
  readonly ExitCode?: number;
  readonly LastWaitResult?: number;
}

/**
 * The status that HcsGetProcessProperties and the event of a process's exit tell. Exit codes are unsigned 32-bit
 * numbers; LastWaitResult is an HRESULT, which hosts write signed or unsigned.
 */
export const checkHostProcessStatus = answerObject<HostProcessStatus>({
  ProcessId: optional(checkCounter),
  Exited: optional(truth),
  ExitCode: optional(checkCounter),
  LastWaitResult: optional(integer(-0x80000000, 0xffffffff)),
});

/** Properties of the compute service and its host, by the type that was asked for. */
const serviceProperties: { readonly [type: string]: Names } = {
  Basic: { SupportedSchemaVersions: [{ Major: true, Minor: true }] },
  CpuGroup: {
    CpuGroups: [
      {
        GroupId: true,
        Affinity: { LogicalProcessorCount: true, LogicalProcessors: true },
        GroupProperties: [{ PropertyCode: true, PropertyValue: true }],
        HypervisorGroupId: true,
      },
    ],
  },
  ProcessorTopology: {
    LogicalProcessorCount: true,
    LogicalProcessors: [
      {
        LpIndex: true,
        NodeNumber: true,
        PackageId: true,
        CoreId: true,
        RootVpIndex: true,
        Subnodes: [{ Type: true, Id: true }],
      },
    ],
  },
  ContainerCredentialGuard: {
    Instances: [
      {
        Id: true,
        CredentialGuard: { Cookie: true, RpcEndpoint: true, Transport: true, CredentialSpec: true },
        HvSocketConfig: {
          ServiceId: true,
          ServiceConfig: {
            BindSecurityDescriptor: true,
            ConnectSecurityDescriptor: true,
            AllowWildcardBinds: true,
            Disabled: true,
          },
        },
      },
    ],
  },
  QoSCapabilities: { ProcessorQoSSupported: true },
};

const errorDocument: Names = {
  Error: true,
  ErrorMessage: true,
  ErrorEvents: [
    { Message: true, StackTrace: true, Provider: true, EventId: true, Flags: true, Source: true, Data: true },
  ],
};

/**
 * Answer of HcsGetServiceProperties: a list in the order of the request, or what there is to say to each type. Source:
 * ServiceProperties of the HCS schema.
 */
export interface HostServiceProperties {
  /** One for each requested type, in the order of the request. */
  readonly Properties?: readonly unknown[];
  readonly PropertyResponses?: { readonly [type: string]: unknown };
}

/** Checks the answer to a query for these types of properties. */
export function serviceAnswer(types: readonly string[]): Check<HostServiceProperties> {
  const spelled = (type: string | undefined, value: unknown): unknown =>
    type !== undefined && Object.hasOwn(serviceProperties, type)
      ? spelledAs(serviceProperties[type] ?? {}, value)
      : value;
  const inOrder: Check<readonly unknown[]> = (value, path) =>
    list(anything)(value, path).map((properties, index) => spelled(types[index], properties));
  const byType: Check<{ readonly [type: string]: unknown }> = (value, path) =>
    Object.fromEntries(
      Object.entries(record(anything)(value, path)).map(([type, given]) => {
        const response = spelledAs({ Error: errorDocument, Response: serviceProperties[type] ?? true }, given);
        return [type, response];
      }),
    );
  return answerObject<HostServiceProperties>({ Properties: optional(inOrder), PropertyResponses: optional(byType) });
}
