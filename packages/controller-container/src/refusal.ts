import { SchemaError } from "@uvm-shim/hcs-schema";
import { ControllerError, type ControllerErrorCode } from "@uvm-shim/lifecycle";

/** Makes the error with which one operation on one container refuses what it was given. */
export type Refuse = (code: ControllerErrorCode, message: string, cause?: unknown) => ControllerError;

export function refusing(operation: string, id: string): Refuse {
  return (code, message, cause) => new ControllerError(code, message, { operation, id, cause });
}

/** Runs a schema check; what it finds becomes InvalidArgument and names the file and field. */
export function checked<T>(check: () => T, file: string, refuse: Refuse): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof SchemaError) throw refuse("InvalidArgument", `${file}: ${error.message}`, error);
    throw error;
  }
}
