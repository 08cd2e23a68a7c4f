import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { messageOf } from "@uvm-shim/lifecycle";
import { sealedCopy, sealedFile } from "@uvm-shim/linux-calls";
import { unpackedKernel, type XzUnpacking } from "./kernel-payload.ts";

interface Image {
  /** Tells a file that was replaced or changed. */
  readonly version: string;
  readonly copy: Promise<number>;
}

/** What a machine boots. */
export interface BootPaths {
  readonly kernel: string;
  readonly initrd?: string;
}

/**
 * Kernels and initrds in memory, one copy for all machines that boot from the same file. A confined QEMU can open such a
 * copy again, which it has to, where the file itself may be for root alone; and none can change it for the others. Kernels
 * are unpacked, where that is possible.
 */
export class BootImages {
  readonly #images = new Map<string, Image>();
  readonly #report: (message: string) => void;

  constructor(report: (message: string) => void) {
    this.#report = report;
  }

  /** Descriptors of the copies, that of the kernel first; the caller closes them. */
  async open({ kernel, initrd }: BootPaths, unpackXz: XzUnpacking): Promise<readonly number[]> {
    const copies = [this.#open(kernel, () => this.#copyKernel(kernel, unpackXz))];
    if (initrd !== undefined) copies.push(this.#open(initrd, async () => sealedCopy(initrd)));
    const results = await Promise.allSettled(copies);
    const opened = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return opened;
    for (const descriptor of opened) closeSync(descriptor);
    throw failed.reason;
  }

  close(): void {
    for (const { copy } of this.#images.values()) closeWhenMade(copy);
    this.#images.clear();
  }

  async #copyKernel(path: string, unpackXz: XzUnpacking): Promise<number> {
    const image = readFileSync(path);
    try {
      const kernel = await unpackedKernel(image, unpackXz);
      if (kernel !== undefined) return sealedFile(path, kernel);
    } catch (error) {
      this.#report(`kernel ${path} unpacks itself, which takes longer: ${messageOf(error)}`);
    }
    return sealedFile(path, image);
  }

  async #open(path: string, make: () => Promise<number>): Promise<number> {
    const { dev, ino, size, mtimeMs } = statSync(path);
    const version = `${dev}:${ino} ${size} ${mtimeMs}`;
    const known = this.#images.get(path);
    const image = known?.version === version ? known : { version, copy: make() };
    this.#images.set(path, image);
    // Whoever waits for the former one is before this in line.
    if (known !== undefined && known !== image) closeWhenMade(known.copy);
    try {
      return openSync(`/proc/self/fd/${await image.copy}`, "r");
    } catch (error) {
      // A failure is not kept.
      if (this.#images.get(path) === image) this.#images.delete(path);
      throw error;
    }
  }
}

function closeWhenMade(copy: Promise<number>): void {
  copy.then(closeSync, () => {});
}
