import { describeHresult, type HresultName, hresults, SchemaError } from "@uvm-shim/hcs-schema";
import { messageOf } from "@uvm-shim/lifecycle";

/** A failed host call: the HRESULT of the real service, and a message. */
export class HcsFailure extends Error {
  override readonly name = "HcsFailure";
  readonly hresult: number;
  /** Error events, such as the last lines of the guest's console. */
  readonly events: readonly string[];

  constructor(
    result: HresultName,
    message: string,
    details: { readonly events?: readonly string[]; readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.hresult = hresults[result];
    this.events = details.events ?? [];
  }

  override toString(): string {
    return `${this.message} [${describeHresult(this.hresult)}]`;
  }
}

const errnoResults: { readonly [code: string]: HresultName } = {
  ENOENT: "ERROR_FILE_NOT_FOUND",
  ENOTDIR: "ERROR_PATH_NOT_FOUND",
  EACCES: "E_ACCESSDENIED",
  EPERM: "E_ACCESSDENIED",
  EMFILE: "ERROR_TOO_MANY_OPEN_FILES",
  ENFILE: "ERROR_TOO_MANY_OPEN_FILES",
  EAGAIN: "ERROR_NO_SYSTEM_RESOURCES",
  ENOMEM: "E_OUTOFMEMORY",
  ENOSPC: "E_OUTOFMEMORY",
};

const shortages: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ENOSPC"]);

/** Whether the error is a temporary shortage of resources of this machine. */
export function isLack(error: unknown): boolean {
  return shortages.has((error as { code?: unknown } | null)?.code);
}

/** Converts an error to the failure of a host call. */
export function asFailure(error: unknown): HcsFailure {
  if (error instanceof HcsFailure) return error;
  if (error instanceof SchemaError) return new HcsFailure("HCS_E_INVALID_JSON", error.message, { cause: error });
  const code = String((error as { code?: unknown } | null)?.code);
  const message = messageOf(error);
  return new HcsFailure(errnoResults[code] ?? "E_FAIL", message, { cause: error });
}
