import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { LinuxKernelDirect } from "@uvm-shim/hcs-schema";

/** Where a boot loader finds what it looks for in a kernel image for x86 (Documentation/arch/x86/boot.rst of Linux). */
const bootFlagOffset = 0x1fe;
const bootFlag = 0xaa55;
const headerOffset = 0x202;
const header = "HdrS";
const bytesRead = 0x206;

/** Whether the file is a kernel image that QEMU can boot on a PC. */
export function isKernelImage(path: string): boolean {
  const bytes = Buffer.alloc(bytesRead);
  const file = openSync(path, "r");
  try {
    if (readSync(file, bytes, 0, bytes.length, 0) < bytes.length) return false;
  } finally {
    closeSync(file);
  }
  const marker = bytes.toString("latin1", headerOffset, headerOffset + header.length);
  return bytes.readUInt16LE(bootFlagOffset) === bootFlag && marker === header;
}

/**
 * What the kernel has as its initial root: that of the document, else the one beside the kernel, by which a kernel whose
 * drivers are modules mounts the disk that its command line names.
 */
export function initrdOf({ KernelFilePath: kernel, InitRdPath: given }: LinuxKernelDirect): string | undefined {
  const own = `${kernel}.initrd`;
  return given ?? (existsSync(own) ? own : undefined);
}

/** Ends the parameters of the kernel; what follows is for the guest's init. */
const endOfParameters = "--";
/** A guest has no profiles to load, so its kernel is not to say that it enforces any. */
const withoutProfiles = "apparmor=0";
/** A translated guest runs no instruction ahead of its time, so nothing has to be kept from that. */
const withoutMitigations = "mitigations=off";
/**
 * hvc0 is the console of this machine. Memory that is added is used at once, and can be taken away again. A kernel that has
 * been tested does not test its ciphers at each boot.
 */
const ownParameters = ["console=hvc0", "memhp_default_state=online_movable", "cryptomgr.notests"];
/** What keeps the virtio transport from taking the place of Hyper-V's sockets. */
const transportCall = "virtio_vsock_init";

/** The machine that a kernel boots on. */
export interface KernelMachine {
  readonly name: string;
  /** Whether the guest's instructions are translated, and not run by the processor. */
  readonly isTranslated: boolean;
}

/**
 * The command line for this machine, made of one for Hyper-V, where a guest has neither PCI devices, unless some are
 * assigned, nor virtio. What it says itself is kept.
 */
export function kernelLineFor(given: string, { name, isTranslated }: KernelMachine): string {
  // Quotes protect blanks, and a quoted value begins anywhere in a word.
  const words: readonly string[] = given.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  const end = words.indexOf(endOfParameters);
  const parameters = end === -1 ? words : words.slice(0, end);
  const kept = parameters.flatMap((word) => (word === "pci=off" ? [] : withoutBlockedTransport(word)));
  const defaults = [`hostname=${name}`, withoutProfiles, ...(isTranslated ? [withoutMitigations] : [])];
  return [...defaults, ...kept, ...ownParameters, ...(end === -1 ? [] : words.slice(end))].join(" ");
}

function withoutBlockedTransport(word: string): readonly string[] {
  const [, list] = /^initcall_blacklist=(.*)$/.exec(word) ?? [];
  if (list === undefined) return [word];
  const others = list.split(",").filter((call) => call !== transportCall);
  return others.length === 0 ? [] : [`initcall_blacklist=${others.join(",")}`];
}
