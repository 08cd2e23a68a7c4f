/** The closed set of what can be wrong with the input of a sandbox. */
export type SandboxErrorCode = "InvalidArgument" | "Unimplemented" | "FailedPrecondition";

/** What an operator asked for and cannot have; the message names key, value and what would be accepted. */
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
