import { ControllerError } from "@uvm-shim/lifecycle";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { disk, scsiOn, whole } from "./testing/index.ts";

const shuffled = (count: number) =>
  fc.shuffledSubarray(
    Array.from({ length: count }, (_, index) => index),
    { minLength: count },
  );

describe("slots", () => {
  it("skips reserved ones, fills 4 × 64, then names the limit", async () => {
    const { scsi } = scsiOn(undefined, { reserved: [{ controller: 0, lun: 0 }] });
    const reservations: string[] = [];
    for (let index = 0; index < 255; index++) reservations.push(await scsi.reserve(disk(`/d${index}`), whole()));
    expect(scsi.disks[0]).toMatchObject({ controller: 0, lun: 1 });
    expect(scsi.disks[254]).toMatchObject({ controller: 3, lun: 63 });
    const refused = scsi.reserve(disk("/one more"), whole());
    await expect(refused).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringMatching(
        /\/.*: every SCSI slot of the VM is in use: \d controllers × 64 LUNs, \d+ of them reserved/,
      ),
    });
    await expect(refused).rejects.toThrow("4 controllers × 64 LUNs, 1 of them reserved");
    await scsi.reserve(disk("/d7"), whole());
    await scsi.unmapFromGuest(reservations[70] ?? "");
    await scsi.unmapFromGuest(reservations[9] ?? "");
    await scsi.reserve(disk("/one more"), whole());
    expect(scsi.disks.find((view) => view.hostPath === "/one more")).toMatchObject({ controller: 0, lun: 10 });
  });

  it.each([
    ["of one controller", 64, 1],
    ["of four", 256, 4],
  ])("attach and detach in any order, %s", async (_, count, controllers) => {
    await fc.assert(
      fc.asyncProperty(shuffled(count), shuffled(count), async (mapping, unmapping) => {
        const { vm, scsi } = scsiOn(undefined, { controllers });
        const reservations = new Map<number, string>();
        for (const index of mapping) {
          const reservation = await scsi.reserve(disk(`/d${index}`), whole());
          reservations.set(index, reservation);
          await scsi.mapToGuest(reservation);
        }
        expect(vm.attached.size).toBe(count);
        expect(vm.mounted.size).toBe(count);
        await expect(scsi.reserve(disk("/one more"), whole())).rejects.toMatchObject({ code: "ResourceExhausted" });
        await Promise.all(unmapping.map((index) => scsi.unmapFromGuest(reservations.get(index) ?? "")));
        expect(vm.leftovers()).toEqual([]);
        expect(scsi.disks).toEqual([]);
        expect(await scsi.mapToGuest(await scsi.reserve(disk("/one more"), whole()))).toBe("/run/mounts/scsi/0/0/0");
      }),
      { numRuns: 5 },
    );
  });

  it.each([
    { controllers: 0 },
    { controllers: 5 },
    { controllers: 1.5 },
    { controllers: 1, reserved: [{ controller: 1, lun: 0 }] },
    { reserved: [{ controller: 0, lun: 64 }] },
    { reserved: [{ controller: 0, lun: -1 }] },
    { reserved: [{ controller: 0, lun: 0.5 }] },
    { reserved: [{ controller: -1, lun: 63 }] },
    {
      reserved: [
        { controller: 0, lun: 1 },
        { controller: 0, lun: 1 },
      ],
    },
  ])("refuses %j", (options) => {
    expect(() => scsiOn(undefined, options)).toThrow(ControllerError);
  });
});

describe("disks of the VM's document", () => {
  const rootFs = { Type: "VirtualDisk", Path: "/boot/rootfs.vhd", ReadOnly: true } as const;
  const reserved = [{ controller: 0, lun: 0, attachment: rootFs }];

  it("are listed, and keep their slots", async () => {
    const { scsi } = scsiOn(undefined, { reserved: [...reserved, { controller: 0, lun: 1 }] });
    expect(scsi.disks).toEqual([
      { controller: 0, lun: 0, hostPath: "/boot/rootfs.vhd", state: "Attached", isOfDocument: true, mounts: [] },
    ]);
    expect(await scsi.mapToGuest(await scsi.reserve(disk("/d"), whole()))).toBe("/run/mounts/scsi/0/2/0");
  });

  it("are mounted for their users, and never attached or detached", async () => {
    const mounts: string[] = [];
    const { vm, scsi } = scsiOn(undefined, {
      reserved,
      guest: () => ({
        mountDisk: async ({ MountPath }) => void mounts.push(MountPath),
        unmountDisk: async ({ MountPath }) => void mounts.push(MountPath),
        ejectDisk: async () => {},
      }),
    });
    const reservation = await scsi.reserve(disk("/boot/rootfs.vhd"), whole());
    await scsi.mapToGuest(reservation);
    await scsi.unmapFromGuest(reservation);
    expect(mounts).toEqual(["/run/mounts/scsi/0/0/0", "/run/mounts/scsi/0/0/0"]);
    expect(vm.script.calls).toEqual([]);
    expect(scsi.disks).toMatchObject([{ isOfDocument: true, mounts: [] }]);
  });

  it("cannot be reserved with other properties", async () => {
    const { scsi } = scsiOn(undefined, { reserved });
    const refused = scsi.reserve(disk("/boot/rootfs.vhd", { readOnly: false }), whole());
    await expect(refused).rejects.toMatchObject({ code: "FailedPrecondition" });
  });
});

describe("disks of other kinds", () => {
  it("are passed to the host unchanged", async () => {
    const seen: unknown[] = [];
    const host = {
      attachDisk: async (_controller: number, _lun: number, attachment: unknown) => void seen.push(attachment),
      detachDisk: async () => {},
    };
    const guest = () => ({ mountDisk: async () => {}, unmountDisk: async () => {}, ejectDisk: async () => {} });
    const { scsi } = scsiOn(undefined, { host, guest });
    for (const config of [
      disk("/dev/sda", { type: "PassThru", readOnly: false }),
      disk("evd://provider/volume/7", { type: "ExtensibleVirtualDisk" }),
    ]) {
      await scsi.mapToGuest(await scsi.reserve(config, whole()));
    }
    expect(seen).toEqual([
      { Type: "PassThru", Path: "/dev/sda", ReadOnly: false },
      { Type: "ExtensibleVirtualDisk", Path: "volume/7", ReadOnly: true, ExtensibleVirtualDiskType: "provider" },
    ]);
  });
});
