import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { hostVariables } from "@uvm-shim/host-protocol";

/** Where the Linux executables of this machine are put. */
export const DISTRIBUTION = join(
  dirname(fileURLToPath(import.meta.url)),
  ...["..", "..", "..", "dist", `linux-${process.arch}`],
);
export const SHIM_PROGRAM = "containerd-shim-lcow-v2";
export const WINDOWS_SHIM_PROGRAM = "containerd-shim-wcow-v2";
export const DIAGNOSIS_TOOL = join(DISTRIBUTION, "uvm-diag");
export const SHIM = join(DISTRIBUTION, SHIM_PROGRAM);
export const WINDOWS_SHIM = join(DISTRIBUTION, WINDOWS_SHIM_PROGRAM);

/** The folder with what virtual machines boot from, beside the executables. */
export const VM_BOOT_FILES = "LinuxVmBootFiles";

/** The emulated host ends this soon after its last user, in milliseconds, so that its end can be seen. */
export const HOST_ENVIRONMENT = { [hostVariables.idleMs]: "300" };
