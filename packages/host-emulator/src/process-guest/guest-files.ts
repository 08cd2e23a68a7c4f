import { closeSync, constants, openSync, writeFileSync } from "node:fs";

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants;

/**
 * Creates or writes a file in the mount namespace of a guest. A container with write access may have replaced it by a
 * link, or by a FIFO, for whose reader the host would wait.
 */
export function writeGuestFile(path: string, text: string): void {
  const file = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o644);
  try {
    writeFileSync(file, text);
  } finally {
    closeSync(file);
  }
}

/** Like `writeGuestFile`, for a mount point. */
export function makeGuestFile(path: string): void {
  closeSync(openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o644));
}
