import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { ScsiController, type ScsiControllerOptions } from "../controller.ts";
import type { DiskConfig, DiskMountConfig } from "../types.ts";
import { FakeScsiVm } from "./fake-vm.ts";

export { FakeScsiVm } from "./fake-vm.ts";

export const disk = (hostPath: string, more: Partial<DiskConfig> = {}): DiskConfig => ({
  hostPath,
  readOnly: true,
  type: "VirtualDisk",
  ...more,
});

export const whole = (more: Partial<DiskMountConfig> = {}): DiskMountConfig => ({
  partition: 0,
  readOnly: true,
  ...more,
});

/** A controller on a fake VM, with reservation ids r1, r2, … */
export function scsiOn(script?: ScriptedCalls, options: Partial<ScsiControllerOptions> = {}) {
  const vm = new FakeScsiVm(script);
  let reservations = 0;
  const scsi = new ScsiController({
    id: "vm-1",
    host: vm,
    guest: () => vm,
    controllers: 4,
    reserved: [],
    newId: () => {
      reservations += 1;
      return `r${reservations}`;
    },
    ...options,
  });
  return { vm, scsi };
}
