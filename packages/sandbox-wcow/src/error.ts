import type { ErrorCode } from "@uvm-shim/lifecycle";

/** A field of a spec that cannot be accepted; the message names it, its value and what is expected. */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
  readonly code: Extract<ErrorCode, "InvalidArgument">;
  readonly key: string;

  constructor(code: Extract<ErrorCode, "InvalidArgument">, key: string, message: string) {
    super(`${key}: ${message}`);
    this.code = code;
    this.key = key;
  }
}
