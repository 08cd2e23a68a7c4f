import { lunsPerScsiController, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { refusing } from "@uvm-shim/lifecycle";
import type { DiskSlot } from "./types.ts";

/** The slots of a VM's SCSI controllers, allocated in order. */
export class DiskSlots {
  readonly #taken: boolean[];
  /** Number of slots that can be allocated: some guests see fewer than the VM has. */
  readonly #usable: number;

  /** InvalidArgument for a number of controllers, or a taken slot, that no VM has. */
  constructor(id: string, controllers: number, usableControllers: number, taken: readonly DiskSlot[]) {
    const refuse = refusing("set up SCSI of", id);
    const most = scsiControllerGuids.length;
    if (!Number.isInteger(controllers) || controllers < 1 || controllers > most) {
      throw refuse("InvalidArgument", `controllers is ${controllers}, expected an integer from 1 to ${most}`);
    }
    this.#taken = new Array<boolean>(controllers * lunsPerScsiController).fill(false);
    this.#usable = Math.min(controllers, usableControllers) * lunsPerScsiController;
    for (const slot of taken) {
      const isLun = Number.isInteger(slot.lun) && slot.lun >= 0 && slot.lun < lunsPerScsiController;
      if (!isLun || this.#taken[indexOf(slot)] !== false) {
        const range = `controllers 0 to ${controllers - 1} and LUNs 0 to ${lunsPerScsiController - 1}`;
        throw refuse(
          "InvalidArgument",
          `reserved slot controller ${slot.controller} LUN ${slot.lun} does not exist or is listed twice: expected ${range}`,
        );
      }
      this.#taken[indexOf(slot)] = true;
    }
  }

  /** The lowest free slot; undefined when there is none. */
  take(): DiskSlot | undefined {
    const index = this.#taken.indexOf(false);
    if (index === -1 || index >= this.#usable) return undefined;
    this.#taken[index] = true;
    return { controller: Math.floor(index / lunsPerScsiController), lun: index % lunsPerScsiController };
  }

  giveBack(slot: DiskSlot): void {
    this.#taken[indexOf(slot)] = false;
  }
}

function indexOf({ controller, lun }: DiskSlot): number {
  return controller * lunsPerScsiController + lun;
}
