import { canonicalHresult, describeHresult, type HresultName, hresultName } from "@uvm-shim/hcs-schema";
import type { ErrorCode } from "@uvm-shim/lifecycle";

export interface HostErrorDetails {
  /** What was asked of the host, as a verb phrase: "start compute system". */
  readonly operation: string;
  /** Id of the compute system, or what else the operation was about. */
  readonly id: string;
  /** The HRESULT that the host answered with, in any of its forms. */
  readonly hresult?: number;
  /** What the host's own error events add. */
  readonly events?: readonly string[];
  /** True when the object of the operation no longer exists, or has already ended. */
  readonly gone?: boolean;
  readonly cause?: unknown;
}

/** The one error of the host boundary. */
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
    const told = events.length === 0 ? "" : `; the host says: ${events.join("; ")}`;
    super(`${operation} ${id}: ${message}${result}${told}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.operation = operation;
    this.id = id;
    this.hresult = hresult === undefined ? undefined : canonicalHresult(hresult);
    this.hresultName = hresult === undefined ? undefined : hresultName(hresult);
    this.events = events;
    this.gone = gone;
  }
}

/** What an HRESULT means to a caller; what is not listed is Internal. */
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

/** Results that say that what was to be ended or removed is no longer there. */
const goneNames: ReadonlySet<HresultName> = new Set<HresultName>([
  "ERROR_NOT_FOUND",
  "HCS_E_SYSTEM_NOT_FOUND",
  "HCS_E_SYSTEM_ALREADY_STOPPED",
  "HCS_E_PROCESS_ALREADY_STOPPED",
  "HCN_E_NETWORK_NOT_FOUND",
  "HCN_E_ENDPOINT_NOT_FOUND",
  "HCN_E_PORT_NOT_FOUND",
]);

/** Of the host's words, which may quote a guest's. */
const longestText = 8_000;
const mostEvents = 16;

/** The error of a host call that was answered with an HRESULT. */
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

/** The error of an operation whose caller stopped waiting. */
export function abortedError(
  signal: AbortSignal,
  message: string,
  details: Pick<HostErrorDetails, "operation" | "id">,
): HostError {
  const reason: unknown = signal.reason;
  const code = reason instanceof Error && reason.name === "TimeoutError" ? "DeadlineExceeded" : "Cancelled";
  return new HostError(code, message, { ...details, cause: reason });
}

/** For calls that end a system: what has ended, or is about to, is done, and its exit tells the completion. */
export function ignoreEnded(error: unknown): void {
  if (error instanceof HostError && (error.gone || error.hresultName === "HCS_E_OPERATION_PENDING")) return;
  throw error;
}
