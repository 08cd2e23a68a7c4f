import { disk, scsiOn, whole, windowsScsiOn } from "@uvm-shim/controller-scsi/testing";
import type { Scenario } from "../scenario.ts";
import { sharingUsers } from "./devices.ts";

const controller = "controller-scsi";

export const scsiScenarios: readonly Scenario[] = [
  {
    controller,
    name: "a layer of two users, a disk with two partitions, a scratch disk (LCOW)",
    begin(context) {
      const { vm, scsi } = scsiOn(context.script);
      const scratch = whole({ readOnly: false, ensureFilesystem: true, filesystem: "ext4", encrypted: true });
      const reserveAll = () => [
        scsi.reserve(disk("/layer.vhd"), whole()),
        scsi.reserve(disk("/layer.vhd"), whole()),
        scsi.reserve(disk("/parts.vhd"), whole({ partition: 1 })),
        scsi.reserve(disk("/parts.vhd"), whole({ partition: 2 })),
        scsi.reserve(disk("/scratch.vhdx", { readOnly: false }), scratch),
      ];
      return sharingUsers(context, scsi, reserveAll, () => [...vm.leftovers(), ...tracked(scsi)]);
    },
  },
  {
    controller,
    name: "a map that failed is tried again (LCOW)",
    begin(context) {
      const { vm, scsi } = scsiOn(context.script);
      let reservation = "";
      return {
        async act() {
          reservation = await scsi.reserve(disk("/layer.vhd"), whole());
          const path =
            (await context.callers.attempt((signal) => scsi.mapToGuest(reservation, signal))) ??
            (await scsi.mapToGuest(reservation));
          if (vm.mounted.get(path) !== "0:0") throw new Error(`nothing is mounted at ${path}`);
        },
        cleanUp: () => scsi.unmapFromGuest(reservation),
        leftovers: () => [...vm.leftovers(), ...tracked(scsi)],
      };
    },
  },
  {
    controller,
    name: "a layer of two users, a scratch disk (WCOW)",
    begin(context) {
      const { vm, scsi } = windowsScsiOn(context.script);
      const scratch = disk("C:\\scratch.vhdx", { readOnly: false });
      const reserveAll = () => [
        scsi.reserve(disk("C:\\layer.vhdx"), { readOnly: true }),
        scsi.reserve(disk("c:/layer.vhdx"), { readOnly: true }),
        scsi.reserve(scratch, { readOnly: false, formatScratch: true }),
      ];
      return sharingUsers(context, scsi, reserveAll, () => [...vm.leftovers(), ...tracked(scsi)]);
    },
  },
];

function tracked({ disks }: { readonly disks: readonly { readonly hostPath: string }[] }): readonly string[] {
  return disks.map(({ hostPath }) => `tracked ${hostPath}`);
}
