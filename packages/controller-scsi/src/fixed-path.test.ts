import { describe, expect, it } from "vitest";
import { disk, scsiOn, whole } from "./testing/index.ts";

const at = (guestPath: string) => whole({ guestPath });

describe("a disk that has its place in the guest", () => {
  it("is mounted there, and shared there", async () => {
    const { vm, scsi } = scsiOn();
    const reservations = [
      await scsi.reserve(disk("/gpu.vhd"), at("/run/nvidia")),
      await scsi.reserve(disk("/gpu.vhd"), at("/run/nvidia")),
    ];
    for (const reservation of reservations) expect(await scsi.mapToGuest(reservation)).toBe("/run/nvidia");
    expect(vm.script.names).toEqual(["attachDisk", "mountDisk"]);
    for (const reservation of reservations) await scsi.unmapFromGuest(reservation);
    expect(vm.attached.size + vm.mounted.size).toBe(0);
    expect(await scsi.reserve(disk("/other.vhd"), at("/run/nvidia"))).toBe("r3");
  });

  it("keeps others from it, and is not mounted elsewhere meanwhile", async () => {
    const { scsi } = scsiOn();
    await scsi.reserve(disk("/gpu.vhd"), at("/run/nvidia"));
    await expect(scsi.reserve(disk("/other.vhd"), at("/run/nvidia"))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("/run/nvidia in the guest is in use by disk /gpu.vhd at controller 0 LUN 0"),
    });
    await expect(scsi.reserve(disk("/gpu.vhd"), whole())).rejects.toThrow('guestPath "/run/nvidia" there, "" here');
    expect(scsi.disks).toHaveLength(1);
  });

  it("has an absolute one", async () => {
    const { scsi } = scsiOn();
    await expect(scsi.reserve(disk("/gpu.vhd"), at("nvidia"))).rejects.toThrow(
      'guestPath is "nvidia", expected an absolute path',
    );
  });
});
