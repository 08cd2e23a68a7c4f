/** Where this package has its program and the boot files of a Linux guest, for programs that start and use a host. */
import { fileURLToPath } from "node:url";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** The program `hcs-emulator`, to be run with Node. */
export const emulatorProgram: string = path("../dist/main.js");

/** Folder of the boot files. */
export const bootFolder: string = path("../dist/boot");

/** What a document names for a guest that is processes of this machine: `LinuxKernelDirect` of a VM's chipset. */
export const bootFiles: { readonly KernelFilePath: string; readonly InitRdPath: string } = {
  KernelFilePath: path("../dist/boot/kernel"),
  InitRdPath: path("../dist/boot/initrd.img"),
};
