import { ControllerError, type ErrorCode } from "./error.ts";

/** Makes the error by which one operation on one object is refused; who calls it throws the error. */
export type Refuse = (code: ErrorCode, message: string, cause?: unknown) => ControllerError;

/** The refusals of one operation on one object: each a ControllerError that names both. */
export function refusing(operation: string, id: string): Refuse {
  return (code, message, cause) => new ControllerError(code, message, { operation, id, cause });
}
