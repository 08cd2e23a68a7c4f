import { describe, expect, it } from "vitest";
import { linuxGuestDisks } from "./lcow.ts";
import { disk, scsiOn, whole } from "./testing/index.ts";

const at = (guestPath: string) => whole({ guestPath });

describe("a disk with a fixed path in the guest", () => {
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

  it("keeps its path from other disks, and is not mounted elsewhere meanwhile", async () => {
    const { scsi } = scsiOn();
    await scsi.reserve(disk("/gpu.vhd"), at("/run/nvidia"));
    await expect(scsi.reserve(disk("/other.vhd"), at("/run/nvidia"))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("guest path /run/nvidia is in use by disk /gpu.vhd at controller 0 LUN 0"),
    });
    await expect(scsi.reserve(disk("/gpu.vhd"), whole())).rejects.toThrow('guestPath is "", expected "/run/nvidia"');
    expect(scsi.disks).toHaveLength(1);
  });

  it("needs an absolute path", async () => {
    const { scsi } = scsiOn();
    await expect(scsi.reserve(disk("/gpu.vhd"), at("nvidia"))).rejects.toThrow(
      'guestPath is "nvidia", expected an absolute path',
    );
  });
});

describe("a disk with a preferred path in the guest", () => {
  const preferring = (preferredGuestPath: string) => whole({ preferredGuestPath });

  it("is mounted where its first user prefers, for all users, until the last one has gone", async () => {
    const { vm, scsi } = scsiOn();
    const first = await scsi.reserve(disk("/scratch.vhdx"), preferring("/own/first"));
    const second = await scsi.reserve(disk("/scratch.vhdx"), preferring("/own/second"));
    expect(await scsi.mapToGuest(second)).toBe("/own/first");
    expect(await scsi.mapToGuest(first)).toBe("/own/first");
    await scsi.unmapFromGuest(first);
    expect([...vm.mounted.keys()]).toEqual(["/own/first"]);
    const third = await scsi.reserve(disk("/scratch.vhdx"), preferring("/own/third"));
    expect(await scsi.mapToGuest(third)).toBe("/own/first");
    for (const reservation of [second, third]) await scsi.unmapFromGuest(reservation);
    expect(vm.attached.size + vm.mounted.size).toBe(0);
    const again = await scsi.reserve(disk("/scratch.vhdx"), preferring("/own/third"));
    expect(await scsi.mapToGuest(again)).toBe("/own/third");
  });

  it("is not mounted over another disk", async () => {
    const { scsi } = scsiOn();
    await scsi.reserve(disk("/scratch.vhdx"), preferring("/own/first"));
    await expect(scsi.reserve(disk("/other.vhdx"), preferring("/own/first"))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("guest path /own/first is in use by disk /scratch.vhdx"),
    });
    await expect(scsi.reserve(disk("/other.vhdx"), preferring("own"))).rejects.toThrow(
      'preferredGuestPath is "own", expected an absolute path',
    );
  });

  it("is mounted at the default path of the guest if no user prefers one", async () => {
    const layout = { diskPath: () => "/laid/out" };
    const { vm, scsi } = scsiOn(undefined, { guestDisks: linuxGuestDisks(layout) });
    const reservation = await scsi.reserve(disk("/a.vhdx"), whole());
    expect(await scsi.mapToGuest(reservation)).toBe("/laid/out");
    expect([...vm.mounted.keys()]).toEqual(["/laid/out"]);
  });
});
