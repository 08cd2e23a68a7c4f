import { type HresultName, hresults } from "@uvm-shim/hcs-schema";
import { type ErrorCode, messageOf } from "@uvm-shim/lifecycle";

/** One record of a failure, as the guest reported it. */
export interface GcsErrorRecord {
  readonly Result: number;
  readonly Message: string;
  readonly StackTrace?: string;
  readonly ModuleName?: string;
  readonly FileName?: string;
  readonly Line?: number;
  readonly FunctionName?: string;
}

/** What a `GcsError` was about, as far as it is known. */
export interface GcsErrorDetails {
  readonly procedure?: string;
  readonly containerId?: string;
  /** The guest's result, unsigned. */
  readonly hresult?: number;
  readonly hresultName?: HresultName | undefined;
  readonly guestMessage?: string;
  readonly records?: readonly GcsErrorRecord[];
  /** The bridge, or the subject of the call, no longer exists: a release counts as done. */
  readonly gone?: boolean;
  readonly cause?: unknown;
}

/** The one error class of the bridge. Its message names procedure and container, if any. */
export class GcsError extends Error {
  override readonly name = "GcsError";
  readonly code: ErrorCode;
  readonly procedure: string | undefined;
  readonly containerId: string | undefined;
  readonly hresult: number | undefined;
  readonly hresultName: HresultName | undefined;
  readonly guestMessage: string | undefined;
  readonly records: readonly GcsErrorRecord[];
  readonly gone: boolean;

  constructor(code: ErrorCode, message: string, details: GcsErrorDetails = {}) {
    const { procedure, containerId } = details;
    const subject = [procedure, containerId].filter((part) => part !== undefined && part !== "").join(" ");
    super(
      subject === "" ? `GCS: ${message}` : `GCS ${subject}: ${message}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.code = code;
    this.procedure = procedure;
    this.containerId = containerId;
    this.hresult = details.hresult;
    this.hresultName = details.hresultName;
    this.guestMessage = details.guestMessage;
    this.records = details.records ?? [];
    this.gone = details.gone ?? false;
  }
}

/** Thrown by a handler in the guest to answer with a given result. Any other error is answered as E_FAIL. */
export class GuestFault extends Error {
  override readonly name = "GuestFault";
  readonly hresult: number;
  readonly hresultName: HresultName;

  constructor(hresultName: HresultName, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.hresultName = hresultName;
    this.hresult = hresults[hresultName];
  }
}

/** The error of an abandoned call: DeadlineExceeded if the caller's deadline passed, else Cancelled. */
export function givenUpError(reason: unknown, details: Pick<GcsErrorDetails, "procedure" | "containerId">): GcsError {
  const code = reason instanceof Error && reason.name === "TimeoutError" ? "DeadlineExceeded" : "Cancelled";
  return new GcsError(code, `abandoned while waiting for the guest: ${messageOf(reason)}`, {
    ...details,
    cause: reason,
  });
}
