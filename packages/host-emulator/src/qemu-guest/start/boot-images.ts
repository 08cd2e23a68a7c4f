import { closeSync, openSync, statSync } from "node:fs";
import { sealedCopy } from "@uvm-shim/linux-calls";

interface Image {
  /** Tells a file that was replaced or changed. */
  readonly version: string;
  readonly copy: number;
}

/**
 * Kernels and initrds in memory, one copy for all machines that boot from the same file. A confined QEMU can open such a
 * copy again, which it has to, where the file itself may be for root alone; and none can change it for the others.
 */
export class BootImages {
  readonly #images = new Map<string, Image>();

  /** Descriptors of the files' copies; the caller closes them. */
  open(paths: readonly string[]): readonly number[] {
    const opened: number[] = [];
    try {
      for (const path of paths) opened.push(openSync(`/proc/self/fd/${this.#copyOf(path)}`, "r"));
    } catch (error) {
      for (const descriptor of opened) closeSync(descriptor);
      throw error;
    }
    return opened;
  }

  close(): void {
    for (const { copy } of this.#images.values()) closeSync(copy);
    this.#images.clear();
  }

  #copyOf(path: string): number {
    const { dev, ino, size, mtimeMs } = statSync(path);
    const version = `${dev}:${ino} ${size} ${mtimeMs}`;
    const known = this.#images.get(path);
    if (known?.version === version) return known.copy;
    const copy = sealedCopy(path);
    this.#images.set(path, { version, copy });
    // Machines that are being started have their own descriptors.
    if (known !== undefined) closeSync(known.copy);
    return copy;
  }
}
