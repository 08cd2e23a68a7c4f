import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { DiskSlot } from "../../guest-machine.ts";
import { HcsFailure } from "../../hcs-failure.ts";
import type { DiskFile } from "../../system/disk-file.ts";
import { fieldsOf, type QmpClient, type QmpFields } from "../qmp/qmp-client.ts";
import { Installation, Remains } from "./installation.ts";
import { type Patience, removeNode, unplug } from "./unplug.ts";

/** QEMU counts in sectors, and refuses a size in between. */
const sectorBytes = 512;

/** The bus of a SCSI controller, whose disks all have the address 0:0 and a LUN, as on Hyper-V. */
export function scsiBus(controller: number): string {
  return `${scsiController(controller)}.0`;
}

/** The id of the device that is a controller. */
export function scsiController(controller: number): string {
  return `scsi${controller}`;
}

/**
 * Disks of a machine. QEMU cannot open their files, and gets each as a descriptor. A fixed VHD is raw content with a
 * footer, so it is a raw node that ends before the footer: QEMU's own driver for VHDs computes another size from the
 * footer's geometry, and would read what a guest may have written there.
 */
export class QemuDisks {
  readonly #client: QmpClient;
  readonly #patience: Patience;
  readonly #remains: Remains;
  readonly #disks = new Map<string, Installation>();
  #names = 0;

  constructor(client: QmpClient, patience: Patience, report: (message: string) => void) {
    this.#client = client;
    this.#patience = patience;
    this.#remains = new Remains(report);
  }

  /** After a failure nothing is attached. */
  async attach({ controller, lun }: DiskSlot, disk: DiskFile): Promise<void> {
    await this.#remains.sweep();
    const installation = new Installation();
    // New for each, so that what may be left of a failed attachment is not in the way.
    const name = `disk-${controller}-${lun}-${++this.#names}`;
    const file = openSync(disk.path, disk.readOnly ? constants.O_RDONLY : constants.O_RDWR);
    try {
      const set = setOf(await this.#client.execute("add-fd", { opaque: name }, file));
      installation.done(() => this.#client.execute("remove-fd", { "fdset-id": set }));
      await this.#client.execute("blockdev-add", nodeOf(name, disk, set, fstatSync(file).isBlockDevice()));
      installation.done(() => removeNode(this.#client, name, this.#patience.clock));
      const address = { bus: scsiBus(controller), channel: 0, "scsi-id": 0, lun };
      await this.#client.execute("device_add", { driver: "scsi-hd", id: name, drive: name, ...address });
      installation.done(() => unplug(this.#client, name, this.#patience));
    } catch (error) {
      if (this.#client.isAlive) await this.#remains.undo(installation);
      throw error;
    } finally {
      closeSync(file);
    }
    this.#disks.set(keyOf({ controller, lun }), installation);
  }

  /** After a failure the guest may have lost the disk, but its file is still in use; it can be repeated. */
  async detach(slot: DiskSlot): Promise<void> {
    await this.#remains.sweep();
    await this.#disks.get(keyOf(slot))?.remove();
    this.#disks.delete(keyOf(slot));
  }
}

function keyOf({ controller, lun }: DiskSlot): string {
  return `${controller}:${lun}`;
}

/** Explicit about writing on both levels: a node that decides by itself would look for another descriptor. */
function nodeOf(
  name: string,
  { readOnly, sizeLimit, isVhdx }: DiskFile,
  set: number,
  isBlockDevice: boolean,
): QmpFields {
  const both = { "read-only": readOnly, "auto-read-only": false, discard: "unmap" };
  const file = { driver: isBlockDevice ? "host_device" : "file", filename: `/dev/fdset/${set}`, ...both };
  const size = sizeLimit === undefined ? {} : { offset: 0, size: sizeLimit - (sizeLimit % sectorBytes) };
  const driver = isVhdx === true ? "vhdx" : "raw";
  return { driver, "node-name": name, ...both, ...size, file };
}

function setOf(answer: unknown): number {
  const set = fieldsOf(answer)?.["fdset-id"];
  if (typeof set === "number" && Number.isSafeInteger(set)) return set;
  throw new HcsFailure("HCS_E_PROTOCOL_ERROR", `QEMU answered add-fd with ${JSON.stringify(answer)}`);
}
