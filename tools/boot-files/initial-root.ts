/** The initial RAM disk: what the kernel needs to mount the guest's root. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CpioEntry, cpioArchive } from "./cpio.ts";
import type { KernelModules } from "./kernel-modules.ts";

/**
 * The console first, to see the rest, and what tells the host of a panic; then disks of both kinds that a root may be on, and
 * its file system.
 */
export const modulesOfRoot = [
  "virtio_pci",
  "virtio_console",
  "pvpanic_mmio",
  "virtio_blk",
  "virtio_scsi",
  "sd_mod",
  "erofs",
];

const script = join(import.meta.dirname, "guest", "initial-root.sh");

/** What the initial root consists of, by path. `busybox` is one that is linked statically. */
export function initialRoot(busybox: Uint8Array, modules: KernelModules): ReadonlyMap<string, CpioEntry> {
  const folders = ["bin", "dev", "image", "modules", "proc", "root", "sys"];
  const loaded = modules.inLoadingOrder(modulesOfRoot).map(({ name, path }, index): [string, CpioEntry] => {
    const content = readFileSync(join(modules.folder, path));
    return [`modules/${String(index).padStart(2, "0")}-${name}.ko`, { kind: "file", content }];
  });
  return new Map<string, CpioEntry>([
    ...folders.map((path): [string, CpioEntry] => [path, { kind: "folder" }]),
    // The kernel opens it for process 1 before anything is mounted.
    ["dev/console", { kind: "device", major: 5, minor: 1 }],
    ["bin/busybox", { kind: "file", content: busybox, mode: 0o755 }],
    ["init", { kind: "file", content: readFileSync(script), mode: 0o755 }],
    ...loaded,
  ]);
}

/** The initial root as the kernel reads it. Unpacking a compressed one takes an emulated processor longer than reading it. */
export function initialRamDisk(busybox: Uint8Array, modules: KernelModules): Buffer {
  return cpioArchive(initialRoot(busybox, modules));
}
