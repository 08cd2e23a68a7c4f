import { Plan9Controller } from "@uvm-shim/controller-plan9";
import { linuxGuestDisks, ScsiController } from "@uvm-shim/controller-scsi";
import { linuxVm, VmController } from "@uvm-shim/controller-vm";
import { VpciController } from "@uvm-shim/controller-vpci";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import type { SecurityPolicy } from "@uvm-shim/hcs-schema";
import { systemClock as clock } from "@uvm-shim/lifecycle";
import { guestConnectionOptions, hostPaths as paths } from "@uvm-shim/platform-common";
import type { LinuxGuestLayout } from "@uvm-shim/sandbox-lcow";
import { type PlatformContext, randomBytes, randomUuid } from "@uvm-shim/shim";

export type LinuxVm = VmController<LinuxGuest, ScsiController, Plan9Controller, VpciController>;

/** What a VM is made from, beside its document. */
export interface LinuxVmParts {
  readonly id: string;
  readonly host: ComputeHost;
  readonly layout: LinuxGuestLayout;
  /** Sent to the guest before any other request. */
  readonly policy?: SecurityPolicy | undefined;
  readonly guestLog: PlatformContext["guestLog"];
  /** Asked when the VM is given its first share. */
  readonly noWritableFileShares: () => boolean;
}

/** A VM with all that a Linux guest can be given. */
export function makeLinuxVm({ id, host, layout, policy, guestLog, noWritableFileShares }: LinuxVmParts): LinuxVm {
  const newId = randomUuid;
  return new VmController<LinuxGuest, ScsiController, Plan9Controller, VpciController>({
    ...{ id, host, clock },
    flavour: linuxVm(randomBytes, policy),
    onGuestLog: ({ level, message, fields }) => guestLog.log(level, message, { guest: id, ...fields }),
    connectGuest: (stream, system, abort) =>
      LinuxGuest.connect(stream, guestConnectionOptions({ system, guestLog }), abort),
    devices: {
      scsi: (wiring) => new ScsiController({ ...wiring, newId, paths, guestDisks: linuxGuestDisks(layout) }),
      plan9: (wiring) => new Plan9Controller({ ...wiring, newId, paths, noWritableFileShares: noWritableFileShares() }),
      vpci: (wiring) => new VpciController({ ...wiring, newId, newGuid: randomUuid }),
    },
  });
}
