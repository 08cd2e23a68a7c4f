import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { scsiDisks } from "./scsi-disks.ts";

/** The folders that a kernel has for controllers and disks. */
describe("the disks of a virtual machine", () => {
  let folder: string;
  let sys: string;
  let dev: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "scsi-disks-"));
    [sys, dev] = [join(folder, "sys"), join(folder, "dev")];
    for (const each of [dev, join(sys, "class/scsi_host"), join(sys, "bus/scsi/devices")]) {
      mkdirSync(each, { recursive: true });
    }
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function addHost(number: number, above: string): void {
    const place = join(sys, "devices", above, `host${number}`, "scsi_host", `host${number}`);
    mkdirSync(place, { recursive: true });
    symlinkSync(place, join(sys, "class/scsi_host", `host${number}`));
  }

  const deviceOf = (address: string): string => join(sys, "bus/scsi/devices", address);

  function addDisk(address: string, name: string, partitions: readonly number[] = []): void {
    for (const each of ["", ...partitions]) {
      mkdirSync(join(deviceOf(address), "block", name, each === "" ? "queue" : `${name}${each}`), { recursive: true });
      writeFileSync(join(dev, `${name}${each}`), "");
    }
    writeFileSync(join(deviceOf(address), "delete"), "");
  }

  function removeDisk(address: string, name: string): void {
    rmSync(deviceOf(address), { recursive: true });
    rmSync(join(dev, name));
  }

  const find = (...address: readonly [number, number, number?]): string | undefined =>
    scsiDisks({ sys, dev })
      .find(...address)
      ?.slice(dev.length + 1);

  it("are at their controllers in the order on the PCI bus, whatever numbers these have", () => {
    addHost(0, "pci0000:00/0000:00:01.1/ata1");
    addHost(3, "pci0000:00/0000:00:05.0/virtio2");
    addHost(2, "pci0000:00/0000:00:0a.0/virtio4");
    addHost(10, "pci0000:00/0000:00:06.0/virtio3");
    addDisk("0:0:0:0", "sda");
    addDisk("3:0:0:0", "sdb");
    addDisk("10:0:0:0", "sdc");
    addDisk("2:0:0:63", "sdd");
    expect([find(0, 0), find(1, 0), find(2, 63)]).toEqual(["sdb", "sdc", "sdd"]);
    expect([find(0, 1), find(3, 0)]).toEqual([undefined, undefined]);
  });

  it("are found by what the kernel calls them now", () => {
    addHost(0, "pci0000:00/0000:00:05.0/virtio2");
    addDisk("0:0:0:1", "sda");
    addDisk("0:0:0:2", "sdb");
    expect([find(0, 1), find(0, 2)]).toEqual(["sda", "sdb"]);
    removeDisk("0:0:0:1", "sda");
    expect([find(0, 1), find(0, 2)]).toEqual([undefined, "sdb"]);
    addDisk("0:0:0:5", "sda");
    addDisk("0:0:0:1", "sdc");
    expect([find(0, 1), find(0, 5)]).toEqual(["sdc", "sda"]);
  });

  it("have partitions", () => {
    addHost(0, "pci0000:00/0000:00:05.0/virtio2");
    addDisk("0:0:0:1", "sda", [1, 2]);
    expect([find(0, 1, 0), find(0, 1, 2), find(0, 1, 3)]).toEqual(["sda", "sda2", undefined]);
  });

  it("are absent until their node can be opened", async () => {
    const server = createServer();
    addHost(0, "pci0000:00/0000:00:05.0/virtio2");
    addDisk("0:0:0:1", "sda");
    rmSync(join(dev, "sda"));
    expect(find(0, 1)).toBeUndefined();
    // A socket cannot be opened (ENXIO), nor can a disk of which the kernel has made no more than the node.
    await new Promise<void>((resolve) => server.listen(join(dev, "sda"), resolve));
    expect(find(0, 1)).toBeUndefined();
    server.close();
    // As it is while the kernel asks the disk for its size.
    mkdirSync(deviceOf("0:0:0:2"));
    expect(find(0, 2)).toBeUndefined();
  });

  it("are given up before they are detached, if they are there", () => {
    addHost(1, "pci0000:00/0000:00:05.0/virtio2");
    addDisk("1:0:0:1", "sda");
    const { release } = scsiDisks({ sys, dev });
    release(0, 1);
    expect(readFileSync(join(deviceOf("1:0:0:1"), "delete"), "utf8")).toBe("1");
    // Neither the disk nor the controller.
    release(0, 2);
    release(1, 0);
    expect(existsSync(deviceOf("1:0:0:2"))).toBe(false);
  });
});
