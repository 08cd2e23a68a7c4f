import { canonicalHresult, describeHresult, type HresultName, hresultName } from "@uvm-shim/hcs-schema/hresult";
import type { ErrorCode } from "@uvm-shim/lifecycle";

/** What a `HostError` was about. */
export interface HostErrorDetails {
  /** The request to the host, as a verb phrase: "start compute system". */
  readonly operation: string;
  /** Id of the compute system or other object of the operation. */
  readonly id: string;
  /** The HRESULT of the host, signed or unsigned. */
  readonly hresult?: number;
  /** Messages of the host's error events. */
  readonly events?: readonly string[];
  /** True if the object of the operation does not exist or has already ended. */
  readonly gone?: boolean;
  readonly cause?: unknown;
}

/** The only error class of the host boundary. */
export class HostError extends Error {
  override readonly name = "HostError";
  readonly code: ErrorCode;
  readonly operation: string;
  readonly id: string;
  /** Canonical, unsigned. */
  readonly hresult: number | undefined;
  readonly hresultName: HresultName | undefined;
  readonly events: readonly string[];
  readonly gone: boolean;

  constructor(code: ErrorCode, message: string, details: HostErrorDetails) {
    const { operation, id, hresult, events = [], gone = false, cause } = details;
    const result = hresult === undefined ? "" : ` [${describeHresult(hresult)}]`;
    const reported = events.length === 0 ? "" : `; host events: ${events.join("; ")}`;
    super(`${operation} ${id}: ${message}${result}${reported}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.operation = operation;
    this.id = id;
    this.hresult = hresult === undefined ? undefined : canonicalHresult(hresult);
    this.hresultName = hresult === undefined ? undefined : hresultName(hresult);
    this.events = events;
    this.gone = gone;
  }
}

/** Code for each HRESULT; Internal for all others. */
const codes: { readonly [Name in HresultName]?: ErrorCode } = {
  E_ABORT: "Cancelled",
  E_NOTIMPL: "Unimplemented",
  ERROR_NOT_SUPPORTED: "Unimplemented",
  HCS_E_UNKNOWN_MESSAGE: "Unimplemented",
  HCS_E_UNSUPPORTED_PROTOCOL_VERSION: "Unimplemented",
  E_INVALIDARG: "InvalidArgument",
  HCS_E_INVALID_JSON: "InvalidArgument",
  HCS_E_INVALID_LAYER: "InvalidArgument",
  HCN_E_INVALID_JSON: "InvalidArgument",
  HCN_E_INVALID_IP: "InvalidArgument",
  HCN_E_ADDR_INVALID_OR_RESERVED: "InvalidArgument",
  ERROR_FILE_NOT_FOUND: "NotFound",
  ERROR_PATH_NOT_FOUND: "NotFound",
  ERROR_NOT_FOUND: "NotFound",
  HCS_E_SYSTEM_NOT_FOUND: "NotFound",
  HCN_E_NETWORK_NOT_FOUND: "NotFound",
  HCN_E_ENDPOINT_NOT_FOUND: "NotFound",
  HCN_E_PORT_NOT_FOUND: "NotFound",
  ERROR_FILE_EXISTS: "AlreadyExists",
  ERROR_ALREADY_EXISTS: "AlreadyExists",
  HCS_E_SYSTEM_ALREADY_EXISTS: "AlreadyExists",
  HCN_E_NETWORK_ALREADY_EXISTS: "AlreadyExists",
  HCN_E_PORT_ALREADY_EXISTS: "AlreadyExists",
  E_ACCESSDENIED: "FailedPrecondition",
  ERROR_SHARING_VIOLATION: "FailedPrecondition",
  HCS_E_ACCESS_DENIED: "FailedPrecondition",
  HCS_E_INVALID_STATE: "FailedPrecondition",
  HCS_E_SYSTEM_ALREADY_STOPPED: "FailedPrecondition",
  HCS_E_PROCESS_ALREADY_STOPPED: "FailedPrecondition",
  HCS_E_OPERATION_PENDING: "FailedPrecondition",
  HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION: "FailedPrecondition",
  HCN_E_INVALID_ENDPOINT: "FailedPrecondition",
  HCN_E_ENDPOINT_ALREADY_ATTACHED: "FailedPrecondition",
  HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS: "FailedPrecondition",
  HCN_E_ENTITY_HAS_REFERENCES: "FailedPrecondition",
  E_OUTOFMEMORY: "ResourceExhausted",
  ERROR_TOO_MANY_OPEN_FILES: "ResourceExhausted",
  ERROR_NO_SYSTEM_RESOURCES: "ResourceExhausted",
  HCS_E_CONNECTION_TIMEOUT: "DeadlineExceeded",
  HCS_E_OPERATION_TIMEOUT: "DeadlineExceeded",
  HCS_E_HYPERV_NOT_INSTALLED: "Unavailable",
  HCS_E_CONNECT_FAILED: "Unavailable",
  HCS_E_CONNECTION_CLOSED: "Unavailable",
  HCS_E_SERVICE_NOT_AVAILABLE: "Unavailable",
  HCS_E_SERVICE_DISCONNECT: "Unavailable",
  HCS_E_TERMINATED: "Unavailable",
  HCS_E_TERMINATED_DURING_START: "Unavailable",
  HCS_E_UNEXPECTED_EXIT: "Unavailable",
};

/** Results for an object that has already ended or been removed. */
const goneNames: ReadonlySet<HresultName> = new Set<HresultName>([
  "ERROR_NOT_FOUND",
  "HCS_E_SYSTEM_NOT_FOUND",
  "HCS_E_SYSTEM_ALREADY_STOPPED",
  "HCS_E_PROCESS_ALREADY_STOPPED",
  "HCN_E_NETWORK_NOT_FOUND",
  "HCN_E_ENDPOINT_NOT_FOUND",
  "HCN_E_PORT_NOT_FOUND",
]);

/** Limits for texts of the host, which may quote a guest. */
const longestText = 8_000;
const mostEvents = 16;

/** The error for a failed host call. */
export function hostErrorOf(
  answer: { readonly hresult: number; readonly message: string; readonly events?: readonly string[] },
  details: Pick<HostErrorDetails, "operation" | "id">,
): HostError {
  const name = hresultName(answer.hresult);
  const events = answer.events?.slice(0, mostEvents).map((event) => event.slice(0, longestText));
  const code = (name === undefined ? undefined : codes[name]) ?? "Internal";
  return new HostError(code, answer.message.slice(0, longestText), {
    ...details,
    hresult: answer.hresult,
    gone: name !== undefined && goneNames.has(name),
    ...(events === undefined ? {} : { events }),
  });
}

/** The error for an operation that its caller aborted. */
export function abortedError(
  signal: AbortSignal,
  message: string,
  details: Pick<HostErrorDetails, "operation" | "id">,
): HostError {
  const reason: unknown = signal.reason;
  const code = reason instanceof Error && reason.name === "TimeoutError" ? "DeadlineExceeded" : "Cancelled";
  return new HostError(code, message, { ...details, cause: reason });
}

/** For calls that end a system: a system that has ended or is ending counts as success. `exited` reports the end. */
export function ignoreEnded(error: unknown): void {
  if (error instanceof HostError && (error.gone || error.hresultName === "HCS_E_OPERATION_PENDING")) return;
  throw error;
}
