import { hresults } from "@uvm-shim/hcs-schema";
import type { ErrorCode } from "@uvm-shim/lifecycle";
import { HostError } from "../../host-error.ts";
import type { Subject } from "../compute/call-results.ts";

/** Why a handle, or the whole host, takes no more calls. */
export interface CloseReason {
  readonly code: ErrorCode;
  readonly message: string;
  readonly gone?: true;
  readonly hresult?: number;
}

/** Why calls with a handle fail once it has been closed. */
export const handleClosed: CloseReason = { code: "Cancelled", message: "the handle was closed", gone: true };

/** Why all calls fail once the host has been closed. */
export const hostClosed: CloseReason = { code: "Cancelled", message: "the host was closed" };

/** Why all calls fail once the compute service has ended. */
export const serviceLost: CloseReason = {
  code: "Unavailable",
  message: "the compute service has ended",
  hresult: hresults.HCS_E_SERVICE_DISCONNECT,
};

/** The error for a call that fails for this reason. */
export function closedError(subject: Subject, { code, message, ...details }: CloseReason): HostError {
  return new HostError(code, message, { ...subject, ...details });
}
