/** Classes of QMP's errors that are told apart; QEMU has no others that a caller could act on. */
export type QmpErrorClass = "GenericError" | "CommandNotFound" | "DeviceNotActive" | "DeviceNotFound" | "Other";

const known: ReadonlySet<string> = new Set(["GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound"]);
const longestDescription = 500;

/** A command that QEMU has refused. It had no effect, but for what its documentation says. */
export class QmpError extends Error {
  override readonly name = "QmpError";
  readonly command: string;
  readonly errorClass: QmpErrorClass;
  /** In QEMU's words, without control characters. */
  readonly description: string;

  constructor(command: string, errorClass: string, description: string) {
    const words = printable(description);
    super(`QEMU refused ${command}: ${words}`);
    this.command = command;
    this.errorClass = known.has(errorClass) ? (errorClass as QmpErrorClass) : "Other";
    this.description = words;
  }
}

/** A text of QEMU, which a guest may have taken over, as it may stand in a message. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ").slice(0, longestDescription);
}
