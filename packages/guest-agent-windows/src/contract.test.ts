import { join } from "node:path";
import { describeWindowsGuestContract } from "@uvm-shim/guest-wcow/testing/contract";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { baseLayer, makeTemplate } from "./base-layer/base-layer.ts";
import { TestMachine, vsmbPath } from "./testing/machine.ts";

const diskBytes = 256 * 1024 * 1024;

describeWith(
  "Linux on x64",
  "root",
  "ip",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
  "Wine",
)("the emulated Windows guest", () => {
  describeWindowsGuestContract(async () => {
    const machine = await TestMachine.boot();
    const guest = await machine.connect();
    machine.share("base", await baseLayer());
    return {
      guest,
      prepareDisk: async (lun) => {
        const disk = join(machine.folder, `disk-${lun}.vhdx`);
        await makeTemplate(disk, diskBytes);
        machine.attachDisk(disk, lun);
        return [{ Id: "00000000-0000-4000-8000-000000000001", Path: vsmbPath("base") }];
      },
      close: () => machine.powerOff(),
    };
  });
});
