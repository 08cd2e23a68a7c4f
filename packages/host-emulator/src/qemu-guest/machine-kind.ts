import { dirname, join } from "node:path";
import { QemuGuestKind } from "./qemu-guest-kind.ts";
import { findInstallation, findShareServer } from "./start/installation.ts";
import { connectVsock } from "./vsock.ts";

/** Below the folder of the executables, made by `npm run boot-files`. */
const unpackedBelow = join("LinuxVmBootFiles", "qemu");

/** Virtual machines of the emulated host, with a QEMU of this folder, of the installation, or of this machine. */
export function machineKind({
  qemu,
  bootTimeoutMs,
  report,
}: {
  readonly qemu?: string;
  readonly bootTimeoutMs: number;
  readonly report: (message: string) => void;
}): QemuGuestKind {
  const found = { unpacked: qemu ?? join(installationFolder(), unpackedBelow), isAsked: qemu !== undefined };
  return new QemuGuestKind({
    installation: () => findInstallation(found),
    shareServer: () => findShareServer(found),
    openVsock: async (machine) => {
      // Hosts whose guests are processes need no device.
      const { VsockDevice } = await import("@uvm-shim/vhost-vsock");
      return await connectVsock((options) => VsockDevice.listen(options), machine);
    },
    bootTimeoutMs,
    report,
  });
}

/** Programs are in a folder of the installation, such as `lib`. */
function installationFolder(): string {
  return dirname(dirname(process.argv[1] ?? ""));
}
