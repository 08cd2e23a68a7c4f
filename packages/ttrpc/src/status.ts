import { messageOf } from "@uvm-shim/lifecycle";
import type { google } from "./generated/messages.js";

/** gRPC's canonical codes by name; the wire carries the numbers. */
export const statusCodes = {
  OK: 0,
  Cancelled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;

/** The name of a status: a key of `statusCodes`. */
export type StatusName = keyof typeof statusCodes;
/** The name of a status that is a failure. */
export type ErrorName = Exclude<StatusName, "OK">;

const errorNames = new Map<number, ErrorName>(
  Object.entries(statusCodes).flatMap(([name, number]) => (number === 0 ? [] : [[number, name as ErrorName]])),
);

/** In characters; an error has to fit into a frame. */
const longestMessage = 64 * 1024;

/** The error of a failed call, on either side. */
export class TtrpcError extends Error {
  override readonly name = "TtrpcError";
  readonly code: ErrorName;

  constructor(code: ErrorName, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** Whether an error's `code`, whatever it is, can be sent as a status. */
export function isErrorName(value: unknown): value is ErrorName {
  return typeof value === "string" && value !== "OK" && Object.hasOwn(statusCodes, value);
}

/** The canonical code of an error of any class; undefined when it has none. */
export function errorNameOf(error: unknown): ErrorName | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return isErrorName(error.code) ? error.code : undefined;
}

/** The status that the peer gets for an error: its canonical code, else Internal, and its message. */
export function statusOf(error: unknown): google.rpc.Status.Input {
  const message = messageOf(error);
  return { code: statusCodes[errorNameOf(error) ?? "Internal"], message: message.slice(0, longestMessage) };
}

/** The error for a peer's status; undefined for success. */
export function errorOf(status: google.rpc.Status | null): TtrpcError | undefined {
  if (status === null || status.code === statusCodes.OK) return undefined;
  return new TtrpcError(errorNames.get(status.code) ?? "Unknown", status.message);
}
