import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { diskNode } from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";
import { attachLoop, type LoopDevice, makeBlockNode, withMountNamespace } from "@uvm-shim/linux-calls";
import type { DiskSlot } from "../guest-machine.ts";
import { type DiskFile, vhdxFailure } from "../system/disk-file.ts";
import { readPartitions } from "../system/partitions.ts";
import type { VmCgroups } from "./cgroups.ts";

const releaseTimeoutMs = 5_000;

interface Node {
  readonly path: string;
  readonly loop: LoopDevice;
}

/** Disks of a process guest. Each disk and partition has a loop device with a node in the guest. */
export class GuestDisks {
  readonly #cgroups: VmCgroups;
  readonly #report: (message: string) => void;
  /** Nodes by path of the disk: the disk, then its partitions. */
  readonly #disks = new Map<string, readonly Node[]>();

  constructor(cgroups: VmCgroups, report: (message: string) => void) {
    this.#cgroups = cgroups;
    this.#report = report;
  }

  /** Reads the partition table now. A table that the guest writes later takes effect at the next attachment. */
  attach(init: number, slot: DiskSlot, disk: DiskFile): void {
    if (disk.isVhdx === true) throw vhdxFailure(disk, "Settings.Path");
    const nodes: Node[] = [];
    try {
      for (const { partition, ...part } of partsOf(disk)) {
        const { path, readOnly } = disk;
        nodes.push({ path: nodeOf(slot, partition), loop: attachLoop({ path, readOnly, ...part }) });
      }
      for (const { loop } of nodes) this.#cgroups.allowDevice("b", loop.major, loop.minor);
      withMountNamespace(init, () => {
        mkdirSync(dirname(nodeOf(slot)), { recursive: true });
        // The node of the disk is created last, so that the partitions exist when it appears.
        for (const { path, loop } of nodes.toReversed()) makeBlockNode(path, loop.major, loop.minor, 0o600);
      });
    } catch (error) {
      this.#letGo(nodes);
      throw error;
    }
    this.#disks.set(nodeOf(slot), nodes);
  }

  /** Removes the nodes. A mount in the guest keeps the loop device until it is unmounted. */
  detach(init: number, slot: DiskSlot): void {
    const nodes = this.#disks.get(nodeOf(slot)) ?? [];
    withMountNamespace(init, () => {
      for (const { path } of nodes) rmSync(path, { force: true });
    });
    this.#letGo(nodes);
    this.#disks.delete(nodeOf(slot));
  }

  #letGo(nodes: readonly Node[]): void {
    for (const { loop } of nodes) {
      this.#cgroups.denyDevice("b", loop.major, loop.minor);
      loop.close();
    }
  }

  /** After the guest's end: closes the loop devices and waits until the kernel has removed them. */
  async release(): Promise<void> {
    const loops = [...this.#disks.values()].flat().map(({ loop }) => loop);
    this.#disks.clear();
    for (const loop of loops) loop.close();
    const deadline = performance.now() + releaseTimeoutMs;
    for (const { device } of loops) {
      while (existsSync(`/sys/block/${basename(device)}/loop/backing_file`)) {
        if (performance.now() > deadline) {
          this.#report(`${device} is still in use ${releaseTimeoutMs} ms after its VM ended`);
          return;
        }
        await delay(2);
      }
    }
  }
}

/** The disk and its partitions. */
function partsOf({ path, sizeLimit }: DiskFile) {
  const whole = { partition: 0, ...(sizeLimit === undefined ? {} : { sizeLimit }) };
  // The size of a block device is unknown here; the device itself rejects access beyond its end.
  const stat = statSync(path);
  const size = sizeLimit ?? (stat.isFile() ? stat.size : Number.MAX_SAFE_INTEGER);
  const partitions = readPartitions(path, size).map((part) => ({
    partition: part.number,
    offset: part.offset,
    sizeLimit: part.size,
  }));
  return [whole, ...partitions];
}

function nodeOf({ controller, lun }: DiskSlot, partition?: number): string {
  return diskNode(controller, lun, partition);
}
