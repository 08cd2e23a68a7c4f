import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { mustRun } from "@uvm-shim/test-support/command";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type KernelParts, kernelFile, kernelImage } from "../testing/kernel-images.ts";
import { BootImages } from "./boot-images.ts";
import { xzOf } from "./unpack-xz.ts";

const unpackXz = xzOf({ program: "/usr/bin/qemu", folders: [], files: [] });

describe("what machines boot", () => {
  let folder: string;
  let kernel: string;
  let images: BootImages;
  let reports: string[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "boot-images-"));
    kernel = join(folder, "kernel");
    reports = [];
    images = new BootImages((message) => reports.push(message));
  });
  afterEach(() => {
    images.close();
    rmSync(folder, { recursive: true });
  });

  const inodeOf = (descriptor: number): string => readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");

  /** What a machine gets that boots a file with this content. */
  async function booted(content: Buffer): Promise<Buffer> {
    writeFileSync(kernel, content);
    const [copy] = (await images.open({ kernel }, unpackXz)) as [number];
    const found = readFileSync(`/proc/self/fd/${copy}`);
    closeSync(copy);
    return found;
  }

  it("is one copy of a kernel for all machines, until the file changes", async () => {
    writeFileSync(kernel, kernelImage());
    const open = () => images.open({ kernel }, unpackXz);
    const [[one], [other]] = (await Promise.all([open(), open()])) as [[number], [number]];
    expect(inodeOf(one)).toBe(inodeOf(other));
    writeFileSync(kernel, "another");
    const [changed] = (await open()) as [number];
    expect(inodeOf(changed)).not.toBe(inodeOf(one));
    expect(readFileSync(`/proc/self/fd/${changed}`, "utf8")).toBe("another");
    await expect(images.open({ kernel, initrd: join(folder, "none") }, unpackXz)).rejects.toThrow("ENOENT");
    for (const descriptor of [one, other, changed]) closeSync(descriptor);
  });

  it("is also the initial root, as it is", async () => {
    const initrd = join(folder, "initrd");
    writeFileSync(kernel, kernelImage());
    writeFileSync(initrd, "root");
    const [first, second] = (await images.open({ kernel, initrd }, unpackXz)) as [number, number];
    expect(readFileSync(`/proc/self/fd/${second}`, "utf8")).toBe("root");
    for (const descriptor of [first, second]) closeSync(descriptor);
  });

  it("is the unpacked kernel of an image, packed in any way that Linux packs kernels", async () => {
    writeFileSync(join(folder, "packed"), kernelFile());
    await mustRun("xz", ["--check=crc32", join(folder, "packed")]);
    const packings: readonly KernelParts[] = [
      { packed: readFileSync(join(folder, "packed.xz")) },
      { packed: zstdCompressSync(kernelFile()) },
      { packed: gzipSync(kernelFile()), hasSizeBehind: false },
      { packed: gzipSync(kernelFile()), hasSizeBehind: false, setupSectors: 0 },
    ];
    for (const parts of packings) expect((await booted(kernelImage(parts))).equals(kernelFile())).toBe(true);
    expect(reports).toEqual([]);
  });

  it("is the image where its kernel cannot be started without it", async () => {
    const packed = (kernel: Buffer): KernelParts => ({ packed: zstdCompressSync(kernel), size: kernel.length });
    const noKernel = Buffer.from("no kernel");
    const unsuitable = [
      kernelImage(),
      kernelImage({ packed: Buffer.from("lzo, which nobody here unpacks") }),
      kernelImage({ ...packed(kernelFile()), version: 0x207 }),
      kernelImage(packed(kernelFile({ noteType: 17 }))),
      kernelImage(packed(kernelFile({ machine: 3 }))),
      kernelImage(packed(noKernel)),
    ];
    for (const image of unsuitable) expect((await booted(image)).equals(image)).toBe(true);
    expect(reports).toEqual([]);
  });

  it("is the image where it is damaged, which is told", async () => {
    const whole = kernelImage({ packed: zstdCompressSync(kernelFile()) });
    const xz = Buffer.from("fd377a585a00ffff", "hex");
    const damaged: readonly (readonly [Buffer, RegExp])[] = [
      [whole.subarray(0, -1), /the kernel image is damaged: a payload until byte \d+ of \d+$/],
      [kernelImage({ packed: zstdCompressSync(kernelFile()), size: 2 ** 30 }), /1073741824 bytes unpacked$/],
      [kernelImage({ packed: zstdCompressSync(kernelFile()), size: 100_000 }), /bytes unpacked, and not 100000$/],
      [kernelImage({ packed: zstdCompressSync(kernelFile()), size: 100 }), /larger than 100 bytes/],
      [kernelImage({ packed: xz }), /xz ended with exit code 1: .+/],
    ];
    for (const [image, reason] of damaged) {
      expect((await booted(image)).equals(image)).toBe(true);
      expect(reports.splice(0)).toEqual([expect.stringMatching(reason)]);
    }
  });

  it("is the image where this machine has no xz", async () => {
    const image = kernelImage({ packed: Buffer.from("fd377a585a0000", "hex") });
    writeFileSync(kernel, image);
    const none = async (): Promise<Buffer> => Promise.reject(new Error("program xz not found"));
    const [copy] = (await images.open({ kernel }, none)) as [number];
    expect(readFileSync(`/proc/self/fd/${copy}`).equals(image)).toBe(true);
    closeSync(copy);
    expect(reports).toEqual([`kernel ${kernel} unpacks itself, which takes longer: program xz not found`]);
  });
});
