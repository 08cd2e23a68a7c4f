import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import type { LineSink } from "./log-stderr.ts";

/** In bytes: a sandboxer at level debug writes some 10 KiB for each pod. */
const usualLimit = 16 * 1024 * 1024;

/** Adds lines to a file, which becomes `<file>.1`, in place of an earlier one, once it has so many bytes. */
export function fileSink(file: string, limit = usualLimit): LineSink {
  const open = (): number => openSync(file, "a", 0o600);
  let descriptor: number | undefined = open();
  let size = fstatSync(descriptor).size;
  const write = (line: Buffer): void => {
    if (descriptor !== undefined && size >= limit) {
      closeSync(descriptor);
      descriptor = undefined;
      renameSync(file, `${file}.1`);
    }
    if (descriptor === undefined) {
      descriptor = open();
      size = fstatSync(descriptor).size;
    }
    size += writeSync(descriptor, line);
  };
  return {
    queuedBytes: 0,
    write: (line) => {
      try {
        write(line);
      } catch {
        // A full disk must not end the pods; the next line tries again.
      }
    },
  };
}
