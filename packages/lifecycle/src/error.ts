/** The closed set of ways in which a controller operation fails; one to one with gRPC status codes. */
export const controllerErrorCodes = [
  "Cancelled",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "FailedPrecondition",
  "ResourceExhausted",
  "Unimplemented",
  "Unavailable",
  "Internal",
] as const;

export type ControllerErrorCode = (typeof controllerErrorCodes)[number];

export interface ControllerErrorDetails {
  /** What was being done, as a verb phrase: "start compute system". */
  readonly operation: string;
  /** Id of the object that it was done to. */
  readonly id: string;
  readonly cause?: unknown;
  /** The object no longer exists, so that what was to be released of it is released. */
  readonly gone?: boolean;
}

/** The one error that controllers throw. Its message always names operation and id. */
export class ControllerError extends Error {
  override readonly name = "ControllerError";
  readonly code: ControllerErrorCode;
  readonly operation: string;
  readonly id: string;
  readonly gone: boolean;

  constructor(code: ControllerErrorCode, message: string, details: ControllerErrorDetails) {
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

/** The code that an error carries, when it carries one of the closed set; other boundaries' errors do so structurally. */
export function codeOf(error: unknown): ControllerErrorCode {
  if (error instanceof Error) {
    const code = (error as { code?: unknown }).code;
    const known = controllerErrorCodes.find((candidate) => candidate === code);
    if (known !== undefined) return known;
    if (error.name === "AbortError") return "Cancelled";
    if (error.name === "TimeoutError") return "DeadlineExceeded";
  }
  return "Internal";
}

/** Wraps what a host or guest call threw, keeping its code, its cause and whether the object is gone. */
export function wrapError(error: unknown, operation: string, id: string): ControllerError {
  if (error instanceof ControllerError && error.id === id && error.operation === operation) return error;
  const gone = (error as { gone?: unknown } | null | undefined)?.gone === true;
  return new ControllerError(codeOf(error), messageOf(error), { operation, id, cause: error, gone });
}

/** What a thrown value says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
