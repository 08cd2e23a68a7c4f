import { existsSync, mkdirSync, rmSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { attachLoop, type LoopDevice, makeBlockNode, withMountNamespace } from "@uvm-shim/linux-calls";
import type { DiskFile } from "../disk-file.ts";
import type { DiskSlot } from "../guest-machine.ts";
import type { VmCgroups } from "./cgroups.ts";

/** Where the guest finds its SCSI disks: `<controller>/<lun>`. */
const guestFolder = "/dev/scsi";
const releaseTimeoutMs = 5_000;

/** The disks of one process guest: a loop device each, of which the guest has a node. */
export class GuestDisks {
  readonly #cgroups: VmCgroups;
  readonly #report: (message: string) => void;
  readonly #loops = new Map<string, LoopDevice>();

  constructor(cgroups: VmCgroups, report: (message: string) => void) {
    this.#cgroups = cgroups;
    this.#report = report;
  }

  attach(init: number, slot: DiskSlot, disk: DiskFile): void {
    const { path, readOnly, sizeLimit } = disk;
    const loop = attachLoop({ path, readOnly, ...(sizeLimit === undefined ? {} : { sizeLimit }) });
    try {
      this.#cgroups.allowBlockDevice(loop.major, loop.minor);
      withMountNamespace(init, () => {
        mkdirSync(`${guestFolder}/${slot.controller}`, { recursive: true });
        makeBlockNode(nodeOf(slot), loop.major, loop.minor, 0o600);
      });
    } catch (error) {
      loop.close();
      throw error;
    }
    this.#loops.set(nodeOf(slot), loop);
  }

  /** The guest loses the node; what it still has mounted keeps the loop device alive until it is unmounted. */
  detach(init: number, slot: DiskSlot): void {
    const node = nodeOf(slot);
    withMountNamespace(init, () => rmSync(node, { force: true }));
    const loop = this.#loops.get(node);
    if (loop === undefined) return;
    this.#cgroups.denyBlockDevice(loop.major, loop.minor);
    loop.close();
    this.#loops.delete(node);
  }

  /** After the guest's end: closes the loop devices and waits until the kernel has taken them down. */
  async release(): Promise<void> {
    const loops = [...this.#loops.values()];
    this.#loops.clear();
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

function nodeOf({ controller, lun }: DiskSlot): string {
  return `${guestFolder}/${controller}/${lun}`;
}
