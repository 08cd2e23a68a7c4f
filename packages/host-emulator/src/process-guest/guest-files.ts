import { closeSync, constants, openSync, writeFileSync } from "node:fs";

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants;

/**
 * Makes or writes a file of a guest, from within its mount namespace. A container that may write there may have put a
 * FIFO in its place, for whose reader the host of all VMs would wait, or a link.
 */
export function writeGuestFile(path: string, text: string): void {
  const file = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o644);
  try {
    writeFileSync(file, text);
  } finally {
    closeSync(file);
  }
}

/** As `writeGuestFile`, of a place that a mount is to stand on. */
export function makeGuestFile(path: string): void {
  closeSync(openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o644));
}
