import { posixPaths, windowsPaths } from "@uvm-shim/lifecycle";
import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { ScsiController, type ScsiControllerOptions } from "../controller.ts";
import { type LinuxDiskLayout, type LinuxDiskMount, type LinuxScsiGuest, linuxGuestDisks } from "../lcow.ts";
import type { DiskConfig } from "../types.ts";
import { windowsGuestDisks } from "../wcow.ts";
import { FakeScsiVm, FakeWindowsScsiVm } from "./fake-vm.ts";

export { FakeScsiVm, FakeWindowsScsiVm } from "./fake-vm.ts";

/** A read-only virtual disk. */
export const disk = (hostPath: string, more: Partial<DiskConfig> = {}): DiskConfig => ({
  hostPath,
  readOnly: true,
  type: "VirtualDisk",
  ...more,
});

/** A read-only mount of a whole disk. */
export const whole = (more: Partial<LinuxDiskMount> = {}): LinuxDiskMount => ({
  partition: 0,
  readOnly: true,
  ...more,
});

/** A layout with slot and partition in the path. */
export const slotLayout: LinuxDiskLayout = {
  diskPath: ({ controller, lun }, { partition }) => `/run/mounts/scsi/${controller}/${lun}/${partition}`,
};

/** Reservation ids r1, r2, … */
function numbered(): () => string {
  let reservations = 0;
  return () => {
    reservations += 1;
    return `r${reservations}`;
  };
}

/** A controller on a fake VM of the Linux flavour. */
export function scsiOn(
  script?: ScriptedCalls,
  options: Partial<ScsiControllerOptions<LinuxScsiGuest, LinuxDiskMount>> = {},
) {
  const vm = new FakeScsiVm(script);
  const scsi = new ScsiController({
    id: "vm-1",
    host: vm,
    guest: () => vm,
    guestDisks: linuxGuestDisks(slotLayout),
    controllers: 4,
    reserved: [],
    paths: posixPaths,
    newId: numbered(),
    ...options,
  });
  return { vm, scsi };
}

/** A controller on a fake VM of the Windows flavour. */
export function windowsScsiOn(script?: ScriptedCalls, controllers = 1) {
  const vm = new FakeWindowsScsiVm(script);
  const scsi = new ScsiController({
    id: "vm-1",
    host: vm,
    guest: () => vm,
    guestDisks: windowsGuestDisks,
    controllers,
    reserved: [],
    paths: windowsPaths,
    newId: numbered(),
  });
  return { vm, scsi };
}
