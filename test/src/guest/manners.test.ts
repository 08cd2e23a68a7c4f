/** Host and guest of this project together, where real guests have manners of their own. */
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LoneVm } from "./lone-vm.ts";

describeWith(
  "root",
  "crun",
  "ip",
)("a VM on the emulated host", () => {
  let lone: LoneVm;
  let vm: LoneVm["vm"];
  let logged: string[];
  /** Of the guest's requests; it moves when a test moves it. */
  let requestClock: ManualClock;

  beforeEach(async () => {
    logged = [];
    requestClock = new ManualClock();
    lone = await LoneVm.boot({
      ...{ name: "manners", memoryMb: 256 },
      delay: (milliseconds, signal) => requestClock.delay(milliseconds, signal),
      onLog: (message) => void logged.push(message),
    });
    vm = lone.vm;
  });
  afterEach(() => lone.close());

  /** Lets so much time pass for a request that the guest has been sent. */
  async function pass(milliseconds: number): Promise<void> {
    while (requestClock.sleepers === 0) await delay(1);
    requestClock.jump(milliseconds);
  }

  it("gives a sign of life by refusing to report its properties", async () => {
    await expect(vm.guest.ping()).resolves.toBeUndefined();
  });

  it("runs programs that only the end of their stdio ends", async () => {
    // One of the few programs that the guest has: it reads commands until there are no more.
    const program = await vm.execute({ args: ["ip", "-batch", "-"], stdin: true, stdout: true });
    let status: number | undefined;
    const ended = program.wait().then((exit) => {
      status = exit;
    });
    await expect(program.resize(24, 80)).rejects.toMatchObject({ code: "Unimplemented", gone: false });
    await vm.guest.ping();
    expect(status).toBeUndefined();
    await program.close();
    await ended;
    expect(status).toBe(0);
  });

  it("has its programs signalled by another program of the guest", async () => {
    const program = await vm.execute({ args: ["ip", "-batch", "-"], stdin: true, stdout: true });
    await program.signal(9);
    // Of a program that a signal ended, the guest tells -1 in place of a code.
    expect(await program.wait()).toBe(255);
    await program.close();
  });

  it("names the disk that it does not find, and goes on without it", async () => {
    const hostPath = join(lone.directory, "disk");
    writeFileSync(hostPath, "");
    truncateSync(hostPath, 64 * 1024);
    const { scsi } = vm;
    // It has no partitions.
    const reservation = await scsi.reserve(
      { hostPath, readOnly: true, type: "VirtualDisk" },
      { partition: 3, readOnly: true, blockDevice: true },
    );
    const mapping = scsi.mapToGuest(reservation).catch((error: unknown) => error);
    await pass(60_000);
    expect(await mapping).toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringMatching(
        /Add MappedVirtualDisk of controller 0 LUN 0 partition 3 at \S+: the guest did not answer within 60000 ms$/,
      ),
    });
    expect(scsi.disks).toMatchObject([{ state: "Attached", mounts: [{ partition: 3, state: "Invalid" }] }]);
    await expect(vm.guest.ping()).resolves.toBeUndefined();

    // The guest looks for the disk to unmount it, too; what it may hold stays with its owner until the VM has ended.
    const unmapping = scsi.unmapFromGuest(reservation).catch((error: unknown) => error);
    await pass(60_000);
    expect(await unmapping).toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringContaining("Remove MappedVirtualDisk of controller 0 LUN 0 partition 3"),
    });
    expect(scsi.disks).toHaveLength(1);
    await vm.terminate();
    await scsi.unmapFromGuest(reservation);
    expect(scsi.disks).toEqual([]);
    expect(requestClock.sleepers).toBe(0);
    expect(logged.filter((message) => /abandoned (request|addition)/.test(message))).toEqual([]);
  });
});
