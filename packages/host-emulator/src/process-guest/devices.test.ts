import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { GcsBridgeClient, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts, resourcePaths, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { hostPortPath } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, beforeEach, expect, it } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import type { ComputeSystem } from "../system/compute-system.ts";
import { TestFiles } from "../testing/fake-guest.ts";
import { VmCgroups } from "./cgroups.ts";
import { ProcessGuestKind } from "./process-guest-kind.ts";

const agent = fileURLToPath(new URL("../../../guest-agent/src/main.ts", import.meta.url));
const guid = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
const mebibyte = 1024 * 1024;

describeWith(
  "root",
  "crun",
  "mkfs.ext4",
)("devices of a process guest with the real agent", () => {
  const files = new TestFiles();
  const kernel = files.write("process-kernel", `${processGuestKernel}\n`);
  const shared = join(files.directory, "firmware");
  const stateDirectory = join(files.directory, "state");
  const reports: string[] = [];
  let host: EmulatedHost;
  let system: ComputeSystem;
  let server: Server;
  let guest: GcsBridgeClient;

  beforeEach(async () => {
    mkdirSync(shared, { recursive: true });
    mkdirSync(stateDirectory, { recursive: true });
    writeFileSync(join(shared, "blob"), "firmware of the device");
    const device = { instancePath: "PCIP\\A", functions: 2, characterDevice: "/dev/kmsg", directory: shared };
    const devicesFile = files.write("devices.json", JSON.stringify({ devices: [device] }));
    const report = (message: string): void => void reports.push(message);
    const kinds = [new ProcessGuestKind({ stateDirectory, bootTimeoutMs: 10_000, report })];
    host = new EmulatedHost({ stateDirectory, devicesFile, kinds, report });
    const { VirtualMachine: machine, ...document } = files.document({ kernel });
    const Chipset = { LinuxKernelDirect: { KernelFilePath: kernel, InitRdPath: agent } };
    system = host.create("vm", { ...document, VirtualMachine: { ...machine, Chipset } });
    system.openHandle({ systemExited: () => {} });
    server = createServer({ allowHalfOpen: true }).listen(hostPortPath(system.vsockBase, linuxVsockPorts.gcs));
    await once(server, "listening");
    const dialled = once(server, "connection");
    await system.start();
    const [stream] = (await dialled) as [Socket];
    guest = new GcsBridgeClient(stream, { newActivityId: () => guid, onNotification: () => {} });
    await guest.negotiate();
  });
  afterEach(async () => {
    await guest.close();
    server.close();
    await host.close();
    expect(loopsOf(files.directory)).toEqual([]);
    expect(reports.splice(0)).toEqual([]);
  });
  afterAll(() => files.remove());

  /** A file of the guest, by its path on this machine. */
  function inGuest(path: string): string {
    const init = new VmCgroups(basename(dirname(system.vsockBase)))
      .processes()
      .find((pid) => /^NSpid:\s+\d+\s+1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
    if (init === undefined) throw new Error("the guest has no init");
    return `/proc/${init}/root${path}`;
  }

  const change = (RequestType: "Add" | "Remove", virtualFunction = 0, vmBusGuid = guid): Promise<void> =>
    system.modify({
      ResourcePath: resourcePaths.virtualPci(vmBusGuid),
      RequestType,
      ...(RequestType === "Add" && {
        Settings: { Functions: [{ DeviceInstancePath: "PCIP\\A", VirtualFunction: virtualFunction }] },
      }),
    });
  const inside = async (RequestType: "Add" | "Remove", ResourceType: string, Settings: object): Promise<void> => {
    await guest.request("modifySettings", uvmContainerId, { Request: { RequestType, ResourceType, Settings } });
  };

  it("that are assigned appear with their files, while the guest waits for them", async () => {
    const waiting = inside("Add", "VPCIDevice", { VMBusGUID: guid });
    await change("Add", 1);
    await waiting;
    const folder = inGuest(`/dev/vpci/${guid}`);
    expect(readdirSync(folder).sort()).toEqual(["device", "device.json", "files"]);
    expect(JSON.parse(readFileSync(join(folder, "device.json"), "utf8"))).toEqual({
      instancePath: "PCIP\\A",
      virtualFunction: 1,
    });
    expect(statSync(join(folder, "device")).rdev).toBe(statSync("/dev/kmsg").rdev);
    expect(readFileSync(join(folder, "files", "blob"), "utf8")).toBe("firmware of the device");
    await change("Remove");
    expect(readdirSync(inGuest("/dev/vpci"))).toEqual([]);
    expect(readdirSync(shared)).toEqual(["blob"]);
  });

  const devicesList = (): string | undefined => {
    const file = inGuest("/sys/fs/cgroup/devices/devices.list");
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  };
  it("that share a character device allow it until the last one is removed", async () => {
    const other = "00000000-0000-4000-8000-000000000001";
    // Without version 1 there is no list to check.
    const mayUse = (expected: boolean): void => {
      const list = devicesList();
      if (list !== undefined) expect(/^c 1:11 rw$/m.test(list)).toBe(expected);
    };
    mayUse(false);
    await change("Add", 0);
    await change("Add", 1, other);
    await change("Remove");
    mayUse(true);
    await change("Remove", 1, other);
    mayUse(false);
    expect(existsSync(inGuest("/dev/vpci"))).toBe(true);
  });

  it("that are partitions are mounted by their number", async () => {
    const image = partitionedImage(files);
    const slot = { Controller: 0, Lun: 3 };
    await system.modify({
      ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], 3),
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: image },
    });
    expect(readdirSync(inGuest("/dev/scsi/0")).sort()).toEqual(["3", "3p1", "3p2"]);
    for (const Partition of [1, 2]) {
      const MountPath = `/run/mounts/scsi/0/3/${Partition}`;
      const disk = { ...slot, MountPath, Partition, ReadOnly: Partition === 1 };
      await inside("Add", "MappedVirtualDisk", disk);
      expect(readFileSync(inGuest(`${MountPath}/name`), "utf8")).toBe(`partition ${Partition}`);
      await inside("Remove", "MappedVirtualDisk", disk);
    }
    await expect(
      inside("Add", "MappedVirtualDisk", { ...slot, MountPath: "/run/m", Partition: 0, ReadOnly: true }),
    ).rejects.toThrow("holds no file system");
    await system.modify({ ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], 3), RequestType: "Remove" });
    expect(readdirSync(inGuest("/dev/scsi/0"))).toEqual([]);
    expect(loopsOf(files.directory)).toEqual([]);
  });

  it("that are disks in a VHDX are refused, as a process has no reader of it", async () => {
    const path = files.write("some.vhdx", "vhdxfile and more");
    const add = system.modify({
      ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], 4),
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: path },
    });
    await expect(add).rejects.toThrow(`${path} is a VHDX: expected a raw image or a fixed VHD`);
    expect(existsSync(inGuest("/dev/scsi/0/4"))).toBe(false);
  });
});

/** A disk with a master boot record and two ext4 partitions of 8 MiB, each with its number in a file. */
function partitionedImage(files: TestFiles): string {
  const path = files.write("partitioned", "");
  truncateSync(path, 20 * mebibyte);
  const file = openSync(path, "r+");
  const record = Buffer.alloc(512);
  record.writeUInt16LE(0xaa55, 510);
  for (const number of [1, 2]) {
    const start = (1 + (number - 1) * 8) * mebibyte;
    const entry = 446 + (number - 1) * 16;
    record.writeUInt8(0x83, entry + 4);
    record.writeUInt32LE(start / 512, entry + 8);
    record.writeUInt32LE((8 * mebibyte) / 512, entry + 12);
    const contents = join(files.directory, `contents-${number}`);
    mkdirSync(contents);
    writeFileSync(join(contents, "name"), `partition ${number}`);
    const partition = files.write(`partition-${number}`, "");
    truncateSync(partition, 8 * mebibyte);
    execFileSync("mkfs.ext4", ["-q", "-F", "-d", contents, partition]);
    writeSync(file, readFileSync(partition), 0, 8 * mebibyte, start);
  }
  writeSync(file, record, 0, 512, 0);
  closeSync(file);
  return path;
}

/** Files below the directory that are attached to loop devices. */
function loopsOf(directory: string): readonly string[] {
  return readdirSync("/sys/block").flatMap((name) => {
    const backing = `/sys/block/${name}/loop/backing_file`;
    if (!existsSync(backing)) return [];
    const file = readFileSync(backing, "utf8").trim();
    return file.startsWith(directory) ? [file] : [];
  });
}
