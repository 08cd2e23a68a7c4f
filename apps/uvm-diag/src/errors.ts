export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  unknownPod: 3,
  unsupported: 4,
  notPermitted: 5,
  causeFound: 10,
  /** Of `exec`, whose other codes are those of the program in the VM. */
  execFailed: 125,
} as const;

/** A failure that is told in a sentence. */
export class DiagError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DiagError";
    this.exitCode = exitCode;
  }
}
