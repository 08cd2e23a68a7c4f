/**
 * The closed list of ways in which anything of this project fails, whatever the class of the error: names of gRPC status
 * codes, so that the shim answers with them as they are.
 */
export const errorCodes = [
  "Cancelled",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "FailedPrecondition",
  "PermissionDenied",
  "ResourceExhausted",
  "Unimplemented",
  "Unavailable",
  "Internal",
] as const;

/** One of `errorCodes`. */
export type ErrorCode = (typeof errorCodes)[number];

/** What a `ControllerError` was about. */
export interface ControllerErrorDetails {
  /** The operation as a verb phrase: "start compute system". */
  readonly operation: string;
  /** Id of the object of the operation. */
  readonly id: string;
  readonly cause?: unknown;
  /** The object no longer exists, so its resources count as released. */
  readonly gone?: boolean;
}

/** The error class of all controllers. The message always names operation and id. */
export class ControllerError extends Error {
  override readonly name = "ControllerError";
  readonly code: ErrorCode;
  readonly operation: string;
  readonly id: string;
  readonly gone: boolean;

  constructor(code: ErrorCode, message: string, details: ControllerErrorDetails) {
    super(
      `${details.operation} ${details.id}: ${message}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.code = code;
    this.operation = details.operation;
    this.id = details.id;
    this.gone = details.gone ?? false;
  }
}

/** The code of an error of any class that has one of the closed set; of other errors, one derived from their name. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof Error) {
    const code = (error as { code?: unknown }).code;
    const known = errorCodes.find((candidate) => candidate === code);
    if (known !== undefined) return known;
    if (error.name === "AbortError") return "Cancelled";
    if (error.name === "TimeoutError") return "DeadlineExceeded";
  }
  return "Internal";
}

/** Wraps the error of a host or guest call, keeping its code, its cause and whether the object is gone. */
export function wrapError(error: unknown, operation: string, id: string): ControllerError {
  if (error instanceof ControllerError && error.id === id && error.operation === operation) return error;
  const gone = (error as { gone?: unknown } | null | undefined)?.gone === true;
  return new ControllerError(codeOf(error), messageOf(error), { operation, id, cause: error, gone });
}

/** What a thrown value says: an error's message, or its name where that is empty. Total. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message === "" ? error.name : error.message;
  try {
    return String(error);
  } catch {
    return "a thrown object that cannot be shown";
  }
}
