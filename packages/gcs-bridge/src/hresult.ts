import { type HresultName, hresultName } from "@uvm-shim/hcs-schema";
import type { ErrorCode } from "@uvm-shim/lifecycle";

/** The error code for each HRESULT; Internal for those not listed. */
const codes: { readonly [Name in HresultName]?: ErrorCode } = {
  E_NOTIMPL: "Unimplemented",
  ERROR_NOT_SUPPORTED: "Unimplemented",
  HCS_E_UNKNOWN_MESSAGE: "Unimplemented",
  HCS_E_UNSUPPORTED_PROTOCOL_VERSION: "Unimplemented",
  E_INVALIDARG: "InvalidArgument",
  HCS_E_INVALID_JSON: "InvalidArgument",
  HCS_E_INVALID_LAYER: "InvalidArgument",
  ERROR_BAD_EXE_FORMAT: "InvalidArgument",
  ERROR_DIRECTORY: "InvalidArgument",
  ERROR_FILE_NOT_FOUND: "NotFound",
  ERROR_PATH_NOT_FOUND: "NotFound",
  ERROR_NOT_FOUND: "NotFound",
  HCS_E_SYSTEM_NOT_FOUND: "NotFound",
  HCS_E_PROCESS_ALREADY_STOPPED: "NotFound",
  ERROR_ALREADY_EXISTS: "AlreadyExists",
  HCS_E_SYSTEM_ALREADY_EXISTS: "AlreadyExists",
  E_ACCESSDENIED: "FailedPrecondition",
  ERROR_SHARING_VIOLATION: "FailedPrecondition",
  HCS_E_ACCESS_DENIED: "FailedPrecondition",
  HCS_E_IMAGE_MISMATCH: "FailedPrecondition",
  HCS_E_INVALID_STATE: "FailedPrecondition",
  HCS_E_SYSTEM_ALREADY_STOPPED: "FailedPrecondition",
  HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION: "FailedPrecondition",
  E_OUTOFMEMORY: "ResourceExhausted",
  HCS_E_CONNECTION_TIMEOUT: "DeadlineExceeded",
  HCS_E_OPERATION_TIMEOUT: "DeadlineExceeded",
  HCS_E_CONNECT_FAILED: "Unavailable",
  HCS_E_CONNECTION_CLOSED: "Unavailable",
  HCS_E_SERVICE_NOT_AVAILABLE: "Unavailable",
  HCS_E_SERVICE_DISCONNECT: "Unavailable",
  E_ABORT: "Cancelled",
};

/** Results by which something to be ended or removed no longer exists. */
const goneNames: ReadonlySet<HresultName> = new Set<HresultName>([
  "ERROR_NOT_FOUND",
  "HCS_E_SYSTEM_NOT_FOUND",
  "HCS_E_SYSTEM_ALREADY_STOPPED",
  "HCS_E_PROCESS_ALREADY_STOPPED",
]);

/** What a guest's HRESULT means for whoever asked. */
export interface ResultMeaning {
  readonly name: HresultName | undefined;
  readonly code: ErrorCode;
  readonly gone: boolean;
}

/** Accepts a signed or unsigned HRESULT, or an NTSTATUS of the service. */
export function meaningOfResult(result: number): ResultMeaning {
  const name = hresultName(result);
  return {
    name,
    code: (name === undefined ? undefined : codes[name]) ?? "Internal",
    gone: name !== undefined && goneNames.has(name),
  };
}
