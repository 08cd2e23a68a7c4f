import { describe, expect, it } from "vitest";
import { disk, windowsScsiOn } from "./testing/index.ts";

const scratch = disk("C:\\disks\\scratch.vhdx", { readOnly: false });

describe("disks of a Windows guest", () => {
  it("are mounted by path and LUN, and detached without a warning", async () => {
    const { vm, scsi } = windowsScsiOn();
    const reservation = await scsi.reserve(disk("C:\\disks\\layer.vhdx"), { readOnly: true });
    expect(await scsi.mapToGuest(reservation)).toBe("C:\\mounts\\scsi\\0_0_0");
    expect(vm.mounted).toEqual(new Map([["C:\\mounts\\scsi\\0_0_0", "0:0"]]));
    await scsi.unmapFromGuest(reservation);
    expect(vm.script.names).toEqual(["attachDisk", "mountDisk", "unmountDisk", "detachDisk"]);
    expect(vm.leftovers()).toEqual([]);
  });

  it("are sent with path and LUN only", async () => {
    const seen: unknown[] = [];
    const { vm, scsi } = windowsScsiOn();
    vm.mountScratchDisk = async (settings) => void seen.push(settings);
    await scsi.mapToGuest(await scsi.reserve(scratch, { readOnly: false, formatScratch: true }));
    expect(seen).toEqual([{ ContainerPath: "C:\\mounts\\scsi\\0_0_0", Lun: 0 }]);
  });

  it("are formatted if a container is to have its scratch disk there", async () => {
    const { vm, scsi } = windowsScsiOn();
    const reservation = await scsi.reserve(scratch, { readOnly: false, formatScratch: true });
    await scsi.mapToGuest(reservation);
    await scsi.mapToGuest(reservation);
    expect(vm.formatted).toEqual(["0:0"]);
    await scsi.unmapFromGuest(reservation);
    expect(vm.leftovers()).toEqual([]);
  });

  it("are attached and not mounted if something else in the guest uses them, at a LUN that is told", async () => {
    const { vm, scsi } = windowsScsiOn();
    const ids = [];
    for (const path of ["C:\\cims\\1.bcim", "C:\\cims\\2.bcim"]) {
      const id = await scsi.reserve(disk(path), { readOnly: true, attachOnly: true });
      await scsi.mapToGuest(id);
      ids.push(id);
    }
    expect(ids.map((id) => scsi.slotOf(id))).toEqual([
      { controller: 0, lun: 0 },
      { controller: 0, lun: 1 },
    ]);
    expect(vm.mounted.size).toBe(0);
    for (const id of ids) await scsi.unmapFromGuest(id);
    expect(vm.script.names).toEqual(["attachDisk", "attachDisk", "detachDisk", "detachDisk"]);
    expect(vm.leftovers()).toEqual([]);
    expect(() => scsi.slotOf("r1")).toThrow(expect.objectContaining({ code: "NotFound" }));
  });

  it("are the same disk, however their path is spelled", async () => {
    const { scsi } = windowsScsiOn();
    for (const path of ["C:\\Disks\\Layer.vhdx", "c:/disks/layer.VHDX", "\\\\?\\C:\\disks\\layer.vhdx"]) {
      await scsi.reserve(disk(path), { readOnly: true });
    }
    expect(scsi.disks).toMatchObject([{ mounts: [{ holders: ["r1", "r2", "r3"] }] }]);
  });

  it("are not shared by users with different requirements", async () => {
    const { scsi } = windowsScsiOn();
    await scsi.reserve(scratch, { readOnly: false, formatScratch: true });
    const refused = scsi.reserve(scratch, { readOnly: false });
    await expect(refused).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(refused).rejects.toThrow("formatScratch is false, expected true");
  });

  it("are attached only to controller 0, since the guest knows no other", async () => {
    const { vm, scsi } = windowsScsiOn(undefined, 4);
    for (let index = 0; index < 64; index++) {
      await scsi.mapToGuest(await scsi.reserve(disk(`C:\\d${index}`), { readOnly: true }));
    }
    const places = Array.from({ length: 64 }, (_, lun) => `0:${lun}`);
    expect([...vm.attached.keys()]).toEqual(places);
    const refused = scsi.reserve(disk("C:\\more"), { readOnly: true });
    await expect(refused).rejects.toMatchObject({ code: "ResourceExhausted" });
    await expect(refused).rejects.toThrow("1 controllers × 64 LUNs");
  });

  it.each([
    [disk("disks\\layer.vhdx"), { readOnly: true }, "an absolute path such as C:"],
    [disk("/disks/layer.vhd"), { readOnly: true }, "an absolute path such as C:"],
    [disk(""), { readOnly: true }, 'hostPath is ""'],
    [scratch, { readOnly: true, formatScratch: true }, "formatScratch is true"],
    [scratch, { readOnly: false, formatScratch: true, attachOnly: true }, "formatScratch is true, expected false for"],
  ])("%j %j: impossible", async (config, mount, message) => {
    const { vm, scsi } = windowsScsiOn();
    const refused = scsi.reserve(config, mount);
    await expect(refused).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(refused).rejects.toThrow(message);
    expect(scsi.disks).toEqual([]);
    expect(vm.script.calls).toEqual([]);
  });
});
