import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attachedBelow } from "@uvm-shim/test-support/disk";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LoneVm } from "../guest/lone-vm.ts";

const slots = 256;

describeWith("root", "crun")("every SCSI slot of a VM on the emulated host", () => {
  let lone: LoneVm;
  let vm: LoneVm["vm"];

  beforeEach(async () => {
    lone = await LoneVm.boot({ name: "slots", memoryMb: 512 });
    vm = lone.vm;
  });
  afterEach(() => lone.close());

  it(`takes ${slots} disks and gives them back in any order, and has no place for one more`, async () => {
    const diskAt = (number: number) => {
      const hostPath = join(lone.directory, `disk-${number}`);
      writeFileSync(hostPath, "");
      truncateSync(hostPath, 64 * 1024);
      return { hostPath, readOnly: true, type: "VirtualDisk" } as const;
    };
    const shown = { partition: 0, readOnly: true, blockDevice: true };
    const { scsi } = vm;
    const reservations: string[] = [];
    const paths = new Set<string>();
    for (let number = 0; number < slots; number++) {
      const reservation = await scsi.reserve(diskAt(number), shown);
      reservations.push(reservation);
      paths.add(await scsi.mapToGuest(reservation));
    }
    expect(paths.size).toBe(slots);
    expect(attachedBelow(lone.directory)).toHaveLength(slots);
    await expect(scsi.reserve(diskAt(slots), shown)).rejects.toMatchObject({ code: "ResourceExhausted" });
    const [order = []] = fc.sample(fc.shuffledSubarray(reservations, { minLength: slots }), { numRuns: 1, seed: 3 });
    await Promise.all(order.map((reservation) => scsi.unmapFromGuest(reservation)));
    expect(scsi.disks).toEqual([]);
    await vi.waitFor(() => expect(attachedBelow(lone.directory)).toEqual([]), { timeout: 10_000 });
    const again = await scsi.reserve(diskAt(slots), shown);
    expect(await scsi.mapToGuest(again)).toBe("/run/mounts/scsi/0/0/0");
    await scsi.unmapFromGuest(again);
  });
});
