/** Disks whose blocks the kernel checks against their hash tree whenever it reads them (dm-verity). */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { LinuxMappedVirtualDisk } from "@uvm-shim/hcs-schema";
import {
  createMappedDevice,
  LinuxCallError,
  type MappedTarget,
  makeBlockNode,
  mapperControl,
  removeMappedDevice,
} from "@uvm-shim/linux-calls";
import type { HashTree } from "../policy/verity.ts";
import type { VerifiedDisks } from "../storage/storage.ts";

const sectorBytes = 512;

/** Each is a device of its own, by the name that microsoft/hcsshim's guest gives it. */
export const verifiedDisks: VerifiedDisks = {
  async open(disk, device, tree, runTool, signal) {
    if (!existsSync(mapperControl)) {
      const { exitCode, stderr } = await runTool("modprobe", ["dm_verity"], signal);
      if (exitCode !== 0) throw new GuestFault("E_FAIL", `the kernel has no dm-verity: ${stderr.trim()}`);
    }
    const name = nameOf(disk, tree);
    const { major, minor } = createMappedDevice(name, targetOf(device, tree));
    const node = nodeOf(name);
    mkdirSync(dirname(node), { recursive: true });
    rmSync(node, { force: true });
    makeBlockNode(node, major, minor, 0o600);
    return node;
  },
  close(disk, tree) {
    const name = nameOf(disk, tree);
    rmSync(nodeOf(name), { force: true });
    try {
      removeMappedDevice(name);
    } catch (error) {
      // What matters to the host is that it is not mounted any more.
      if (!(error instanceof LinuxCallError)) throw error;
    }
  },
};

/** As Documentation/admin-guide/device-mapper/verity.rst of Linux has it. The super block is one block before the tree. */
export function targetOf(device: string, tree: HashTree): MappedTarget {
  const { size, dataBlock, hashBlock, version, algorithm, rootDigest, salt } = tree;
  return {
    type: "verity",
    sectors: size / sectorBytes,
    parameters: [
      ...[version, device, device, dataBlock, hashBlock, size / dataBlock, size / hashBlock + 1],
      ...[algorithm, rootDigest, salt === "" ? "-" : salt],
    ].join(" "),
  };
}

function nameOf({ Controller, Lun, Partition }: LinuxMappedVirtualDisk, { rootDigest }: HashTree): string {
  return `dm-verity-scsi-contr${Controller}-lun${Lun}-p${Partition}-${rootDigest}`;
}

function nodeOf(name: string): string {
  return join(dirname(mapperControl), name);
}
