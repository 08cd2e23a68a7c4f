import { closeSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sealedCopy } from "@uvm-shim/linux-calls";
import { probeArguments, probeFirmware } from "./accelerator.ts";
import { startConfined } from "./confined.ts";
import type { ProgramInstallation } from "./installation.ts";

/** Where the firmware is among a program's descriptors. */
const firmwareDescriptor = 6;

/** Runs a guest of a few instructions with KVM, confined as all are; resolves to QEMU's exit code. An abort ends it. */
export async function tryKvm(
  installation: ProgramInstallation,
  user: number,
  signal: AbortSignal,
): Promise<number | null> {
  const folder = mkdtempSync(join(tmpdir(), "uvm-shim-kvm-"));
  try {
    const file = join(folder, "firmware");
    writeFileSync(file, probeFirmware());
    const firmware = sealedCopy(file);
    try {
      const qemu = await startConfined({
        installation,
        parameters: probeArguments(`/proc/self/fd/${firmwareDescriptor}`),
        descriptors: [firmware],
        entrances: [],
        mountPoint: join(folder, "root"),
        user,
        withKvm: true,
        signal,
      });
      signal.addEventListener("abort", () => qemu.kill());
      if (signal.aborted) qemu.kill();
      const { code } = await qemu.ended;
      qemu.monitor.close();
      signal.throwIfAborted();
      return code;
    } finally {
      closeSync(firmware);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
