import { type ErrorCode, errorCodes, messageOf } from "@uvm-shim/lifecycle";
import { printable } from "./plain-text.ts";
import { typeName } from "./redaction.ts";

/**
 * Whatever the platform, the file system or a library throws leaves the services as a ShimError with a code of the closed
 * list, which the ttrpc server turns into the status of the response.
 */
export class ShimError extends Error {
  override readonly name = "ShimError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }
}

const systemErrorCodes: ReadonlyMap<string, ErrorCode> = new Map([
  ["ENOENT", "NotFound"],
  ["ESRCH", "NotFound"],
  ["EEXIST", "AlreadyExists"],
  ["EADDRINUSE", "AlreadyExists"],
  ["EACCES", "PermissionDenied"],
  ["EPERM", "PermissionDenied"],
  ["ENOTDIR", "InvalidArgument"],
  ["EISDIR", "InvalidArgument"],
  ["ENAMETOOLONG", "InvalidArgument"],
  ["ENOSPC", "ResourceExhausted"],
  ["EMFILE", "ResourceExhausted"],
  ["ENFILE", "ResourceExhausted"],
  ["ENOMEM", "ResourceExhausted"],
  ["ECONNREFUSED", "Unavailable"],
  ["ECONNRESET", "Unavailable"],
  ["ENOTCONN", "Unavailable"],
  ["EPIPE", "Unavailable"],
  ["ETIMEDOUT", "DeadlineExceeded"],
]);

/** Limits the part of an error message that reaches a client, in characters. */
const longestMessage = 8192;

/** The message in one line of bounded length: a guest, a client or the host may have written parts of it. */
export function printableMessage(error: unknown): string {
  return printable(describeError(error), longestMessage);
}

/**
 * Gives every thrown value a code. A code of the closed list is kept, unless the machine ran out of a resource: code
 * that met such an error may have reported it as the caller's mistake. HRESULTs stay in the message.
 */
export function translateError(error: unknown): ShimError {
  const isExhausted = hasExhaustionCause(error);
  const message = printableMessage(error);
  const hasRightCode = error instanceof ShimError && (!isExhausted || error.code === "ResourceExhausted");
  if (hasRightCode && error.message === message) return error;
  return new ShimError(isExhausted ? "ResourceExhausted" : codeOf(error), message, { cause: error });
}

const exhaustionCodes: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "ENOMEM", "ENOSPC"]);
const deepestCause = 16;

/** Whether the machine ran out of descriptors, processes, memory or disk space. */
function hasExhaustionCause(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; depth < deepestCause && cause instanceof Error; depth += 1) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (exhaustionCodes.has(code) || (code === "EAGAIN" && String(syscall).startsWith("spawn"))) return true;
    cause = cause.cause;
  }
  return false;
}

/** What a thrown value says, with the HRESULT that it carries. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `unknown error: ${typeof error === "string" ? error : typeName(error)}`;
  const message = messageOf(error);
  const hresult = (error as { hresult?: unknown }).hresult;
  if (typeof hresult !== "number") return message;
  const hexadecimal = `0x${(hresult >>> 0).toString(16).padStart(8, "0")}`;
  return message.toLowerCase().includes(hexadecimal) ? message : `${message} (${hexadecimal})`;
}

function codeOf(error: unknown): ErrorCode {
  if (!(error instanceof Error)) return "Internal";
  const code = (error as { code?: unknown }).code;
  const known = errorCodes.find((candidate) => candidate === code);
  if (known !== undefined) return known;
  const system = typeof code === "string" ? systemErrorCodes.get(code) : undefined;
  if (system !== undefined) return system;
  if (error.name === "AbortError") return "Cancelled";
  if (error.name === "TimeoutError") return "DeadlineExceeded";
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  return "Internal";
}
