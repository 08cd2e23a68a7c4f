/** The closed set of error codes for a sandbox's input. */
export type SandboxErrorCode = "InvalidArgument" | "Unimplemented" | "FailedPrecondition";

/** A setting that cannot be accepted; the message names its key, its value and what is expected. */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
  readonly code: SandboxErrorCode;
  /** The annotation or option that is wrong; for FailedPrecondition the field of the document. */
  readonly key: string;

  constructor(code: SandboxErrorCode, key: string, message: string) {
    super(`${key}: ${message}`);
    this.code = code;
    this.key = key;
  }
}
