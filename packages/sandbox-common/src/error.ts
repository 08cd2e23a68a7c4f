import type { ErrorCode } from "@uvm-shim/lifecycle";

/** What can be wrong with the input of a sandbox. */
type InputErrorCode = Extract<ErrorCode, "InvalidArgument" | "Unimplemented" | "FailedPrecondition">;

/** A setting that cannot be accepted; the message names its key, its value and what is expected. */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
  readonly code: InputErrorCode;
  /** The annotation or option that is wrong; for FailedPrecondition the field of the document. */
  readonly key: string;

  constructor(code: InputErrorCode, key: string, message: string) {
    super(`${key}: ${message}`);
    this.code = code;
    this.key = key;
  }
}
