/** How the real guest treats disks and devices that do not appear. */
import { execFileSync } from "node:child_process";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GcsError, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Fixtures, makeFixtures } from "../testing/fixtures.ts";
import { Machine } from "../testing/machine.ts";

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("a device that does not appear", () => {
  let fixtures: Fixtures;
  let machine: Machine;

  beforeAll(async () => {
    fixtures = await makeFixtures("crun");
  });

  afterAll(() => {
    rmSync(fixtures.folder, { recursive: true });
  });

  beforeEach(async () => {
    machine = await Machine.boot(fixtures);
  });

  afterEach(async () => {
    await machine?.powerOff();
    await machine?.removeCgroups();
  });

  const disk = { MountPath: "/run/mounts/late", Controller: 0, Lun: 9, Partition: 0, ReadOnly: true };
  const device = { VMBusGUID: "6f9619ff-8b86-d011-b42d-00c04fc964ff" };

  /** The outcome of a request once the guest has answered many others. */
  async function outcomeOf(request: Promise<void>): Promise<unknown> {
    let outcome: unknown = "no answer";
    request.then(
      () => {
        outcome = "done";
      },
      (error: unknown) => {
        outcome = error;
      },
    );
    for (let asked = 0; asked < 20; asked++) await machine.client.request("dumpStacks", uvmContainerId, {});
    return outcome;
  }

  it.each([
    ["a disk that is to be mounted", "Add", "MappedVirtualDisk", disk],
    ["a disk that is to be unmounted", "Remove", "MappedVirtualDisk", disk],
    ["a device", "Add", "VPCIDevice", device],
  ] as const)("is waited for until the host disconnects: %s", async (_what, type, resource, settings) => {
    const request = machine.modify(type, resource, settings);
    expect(await outcomeOf(request)).toBe("no answer");
    await machine.client.close();
    await expect(request).rejects.toBeInstanceOf(GcsError);
  });

  it("is not waited for if it is a disk to eject", async () => {
    expect(await outcomeOf(machine.modify("Remove", "SCSIDevice", { Controller: 0, Lun: 9 }))).toBe("done");
  });

  it("is mounted when it appears late", async () => {
    const image = join(fixtures.folder, "late.img");
    writeFileSync(image, "");
    truncateSync(image, 4 * 1024 * 1024);
    execFileSync("mkfs.ext4", ["-q", image]);
    const mounting = machine.modify("Add", "MappedVirtualDisk", disk);
    expect(await outcomeOf(mounting)).toBe("no answer");
    machine.attachDisk(image, disk.Lun);
    await mounting;
    expect((await machine.inGuest(["ls", disk.MountPath])).stdout).toBe("lost+found\n");
    await machine.modify("Remove", "MappedVirtualDisk", disk);
  });
});
