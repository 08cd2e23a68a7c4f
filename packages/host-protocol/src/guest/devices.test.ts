import { expect, it } from "vitest";
import { assignedDeviceFolder, diskNode, joinedNetwork, nicInterface } from "./devices.ts";

const guid = "A1B2C3D4-E5F6-4000-8000-000000000000";

it("names disks and their partitions", () => {
  expect(diskNode(0, 3)).toBe("/dev/scsi/0/3");
  expect(diskNode(3, 63, 0)).toBe("/dev/scsi/3/63");
  expect(diskNode(0, 3, 2)).toBe("/dev/scsi/0/3p2");
});

it("derives the same names from a GUID in any case", () => {
  for (const name of [assignedDeviceFolder, joinedNetwork, nicInterface]) {
    expect(name(guid)).toBe(name(guid.toLowerCase()));
  }
  expect(assignedDeviceFolder(guid)).toBe("/dev/vpci/a1b2c3d4-e5f6-4000-8000-000000000000");
  expect(joinedNetwork(guid)).toBe("/run/host/networks/a1b2c3d4-e5f6-4000-8000-000000000000");
});

it("names interfaces as the kernel allows", () => {
  expect(nicInterface(guid)).toBe("nica1b2c3d4e5f6");
  expect(nicInterface(guid).length).toBeLessThanOrEqual(15);
});
