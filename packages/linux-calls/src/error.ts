import { constants } from "node:os";

/** A failed system call. */
export class LinuxCallError extends Error {
  override readonly name = "LinuxCallError";
  /** Name in section 2 of the manual. */
  readonly call: string;
  /** The positive errno. */
  readonly errno: number;
  /** Symbolic errno, as in Node's own errors: "ENOENT". */
  readonly code: string;

  constructor(call: string, subject: string, errno: number) {
    const code = symbolOf(errno);
    super(`${call} ${subject}: ${code}`);
    this.call = call;
    this.errno = errno;
    this.code = code;
  }
}

function symbolOf(errno: number): string {
  const found = Object.entries(constants.errno).find(([, number]) => number === errno);
  return found?.[0] ?? `errno ${errno}`;
}
