import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { basename } from "node:path";
// A pause between two looks, not a deadline: it wakes this process once, where a `Clock` does so in steps.
import { setTimeout as delay } from "node:timers/promises";
import { attachLoop, type LoopDevice, makeBlockNode, withMountNamespace } from "@uvm-shim/linux-calls";
import type { DiskSlot } from "../guest-machine.ts";
import type { DiskFile } from "../system/disk-file.ts";
import { readPartitions } from "../system/partitions.ts";
import type { VmCgroups } from "./cgroups.ts";

/** Where the guest finds its SCSI disks: `<controller>/<lun>`, and their partitions: `<controller>/<lun>p<number>`. */
const guestFolder = "/dev/scsi";
const releaseTimeoutMs = 5_000;

interface Node {
  readonly path: string;
  readonly loop: LoopDevice;
}

/** The disks of one process guest: a loop device each, and one for each partition, of which the guest has a node. */
export class GuestDisks {
  readonly #cgroups: VmCgroups;
  readonly #report: (message: string) => void;
  /** By path of the disk's own node; the disk first, then its partitions. */
  readonly #disks = new Map<string, readonly Node[]>();

  constructor(cgroups: VmCgroups, report: (message: string) => void) {
    this.#cgroups = cgroups;
    this.#report = report;
  }

  /** The partitions are those that the disk has now: a table that the guest writes shows when it is attached again. */
  attach(init: number, slot: DiskSlot, disk: DiskFile): void {
    const nodes: Node[] = [];
    try {
      for (const { suffix, ...part } of partsOf(disk)) {
        const { path, readOnly } = disk;
        nodes.push({ path: `${nodeOf(slot)}${suffix}`, loop: attachLoop({ path, readOnly, ...part }) });
      }
      for (const { loop } of nodes) this.#cgroups.allowDevice("b", loop.major, loop.minor);
      withMountNamespace(init, () => {
        mkdirSync(`${guestFolder}/${slot.controller}`, { recursive: true });
        // The disk's own node comes last: who sees it sees the partitions too.
        for (const { path, loop } of nodes.toReversed()) makeBlockNode(path, loop.major, loop.minor, 0o600);
      });
    } catch (error) {
      this.#letGo(nodes);
      throw error;
    }
    this.#disks.set(nodeOf(slot), nodes);
  }

  /** The guest loses the nodes; what it still has mounted keeps the loop device alive until it is unmounted. */
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

  /** After the guest's end: closes the loop devices and waits until the kernel has taken them down. */
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

/** The whole disk and its partitions. */
function partsOf({ path, sizeLimit }: DiskFile) {
  const whole = { suffix: "", ...(sizeLimit === undefined ? {} : { sizeLimit }) };
  // A block device tells no size, and refuses by itself what lies beyond its end.
  const stat = statSync(path);
  const size = sizeLimit ?? (stat.isFile() ? stat.size : Number.MAX_SAFE_INTEGER);
  const partitions = readPartitions(path, size).map((part) => ({
    suffix: `p${part.number}`,
    offset: part.offset,
    sizeLimit: part.size,
  }));
  return [whole, ...partitions];
}

function nodeOf({ controller, lun }: DiskSlot): string {
  return `${guestFolder}/${controller}/${lun}`;
}
