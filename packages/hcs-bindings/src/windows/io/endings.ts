import { hresults } from "@uvm-shim/hcs-schema";
import type { ErrorCode } from "@uvm-shim/lifecycle";
import { HostError } from "../../host-error.ts";
import type { Subject } from "../refusal.ts";

/** Why nothing more is to be had of a handle, or of all. */
export interface Ending {
  readonly code: ErrorCode;
  readonly message: string;
  readonly gone?: true;
  readonly hresult?: number;
}

export const handleClosed: Ending = { code: "Cancelled", message: "the handle was closed", gone: true };

export const hostClosed: Ending = { code: "Cancelled", message: "the host was closed" };

export const serviceLost: Ending = {
  code: "Unavailable",
  message: "the compute service has ended",
  hresult: hresults.HCS_E_SERVICE_DISCONNECT,
};

/** The ending as the failure of one call. */
export function endingError(subject: Subject, { code, message, ...details }: Ending): HostError {
  return new HostError(code, message, { ...subject, ...details });
}
