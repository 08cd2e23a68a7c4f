import { type ErrorCode, errorCodes, messageOf } from "@uvm-shim/lifecycle";
import { typeOf } from "./given.ts";
import { shown } from "./plain-text.ts";

/**
 * The boundary of errors: whatever the platform, the file system or a library throws leaves the services as a
 * ShimError with a code of the closed list, which the ttrpc server turns into the status of the answer.
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

/** A client is told no more of an error than this. */
const longestMessage = 8192;

/**
 * What an error tells a client or the console: in one line of bounded length. A guest, a client or the host may have a
 * say in its message.
 */
export function shownMessage(error: unknown): string {
  return shown(describeError(error), longestMessage);
}

/**
 * Total: every thrown value has a code. Codes of the closed set are kept, but where the machine lacked something: whoever
 * met that may take it for a mistake of the caller's. HRESULTs stay in the message.
 */
export function translateError(error: unknown): ShimError {
  const isLack = isExhaustion(error);
  const message = shownMessage(error);
  const isFitting = error instanceof ShimError && (!isLack || error.code === "ResourceExhausted");
  if (isFitting && error.message === message) return error;
  return new ShimError(isLack ? "ResourceExhausted" : codeOf(error), message, { cause: error });
}

const lacks: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "ENOMEM", "ENOSPC"]);
const deepestCause = 16;

/** Whether it was caused by a lack of descriptors, processes, memory or room on disks. */
function isExhaustion(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; depth < deepestCause && cause instanceof Error; depth += 1) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (lacks.has(code) || (code === "EAGAIN" && String(syscall).startsWith("spawn"))) return true;
    cause = cause.cause;
  }
  return false;
}

/** What a thrown value says, with the HRESULT that it carries. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `unknown error: ${typeof error === "string" ? error : typeOf(error)}`;
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
