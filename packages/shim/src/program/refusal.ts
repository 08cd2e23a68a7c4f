import { ShimError } from "../errors.ts";

/** How the executable ends. */
export const exitCodes = { done: 0, failed: 1, refused: 2 } as const;

/** What `start` or the command line refuses before anything was done: no file was written, no process started. */
export class Refusal extends ShimError {
  readonly isRefusal = true;

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super("InvalidArgument", message, options);
  }
}

/** Whether the error is a Refusal: its class may be that of another bundle of the program. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && (error as { readonly isRefusal?: unknown }).isRefusal === true;
}

/** A word of the command line that nobody knows. */
export class UnknownWord extends Refusal {
  readonly kind: "flag" | "action";
  readonly given: string;
  readonly accepted: readonly string[];

  constructor(kind: "flag" | "action", given: string, accepted: readonly string[]) {
    super(`unknown ${kind} ${given}`);
    this.kind = kind;
    this.given = given;
    this.accepted = accepted;
  }
}
