import { type HresultName, hresults } from "@uvm-shim/hcs-schema";
import { type ErrorCode, messageOf } from "@uvm-shim/lifecycle";

/** One record of what went wrong in the guest, as the guest told it. */
export interface GcsErrorRecord {
  readonly Result: number;
  readonly Message: string;
  readonly StackTrace?: string;
  readonly ModuleName?: string;
  readonly FileName?: string;
  readonly Line?: number;
  readonly FunctionName?: string;
}

export interface GcsErrorDetails {
  readonly procedure?: string;
  readonly containerId?: string;
  /** Result of the guest, unsigned. */
  readonly hresult?: number;
  readonly hresultName?: HresultName | undefined;
  readonly guestMessage?: string;
  readonly records?: readonly GcsErrorRecord[];
  /** The bridge, or what the call was about, no longer exists: a release may count itself as done. */
  readonly gone?: boolean;
  readonly cause?: unknown;
}

/** The one error of the bridge. Its message names procedure and container where there are any. */
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

/** What a handler in the guest throws to answer with a given result. Anything else it throws answers E_FAIL. */
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

/** The error of a call whose caller has left: DeadlineExceeded when a deadline of the caller's passed, else Cancelled. */
export function givenUpError(reason: unknown, details: Pick<GcsErrorDetails, "procedure" | "containerId">): GcsError {
  const code = reason instanceof Error && reason.name === "TimeoutError" ? "DeadlineExceeded" : "Cancelled";
  return new GcsError(code, `given up while waiting for the guest: ${messageOf(reason)}`, {
    ...details,
    cause: reason,
  });
}
