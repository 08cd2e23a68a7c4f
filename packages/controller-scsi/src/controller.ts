import { lunsPerScsiController, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { ControllerError, wrapError } from "@uvm-shim/lifecycle";
import { checkConfig, checkSameDisk, checkSameMount } from "./config.ts";
import { Disk } from "./disk.ts";
import type { DiskStateKind } from "./lifecycle.ts";
import type { Mount } from "./mount.ts";
import type { DiskConfig, DiskMountConfig, DiskSlot, LinuxScsiGuest, ScsiHost } from "./types.ts";

export interface ScsiControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: ScsiHost;
  /** The guest, asked for at each use; throws while there is none. */
  readonly guest: () => LinuxScsiGuest;
  /** How many SCSI controllers the VM has, 1 to 4. */
  readonly controllers: number;
  /** Slots that the VM's document uses already. */
  readonly reserved: readonly DiskSlot[];
  /** A new id for a reservation. */
  readonly newId: () => string;
  /** Whether two host paths name the same file; by default when they are equal. */
  readonly comparePaths?: (left: string, right: string) => boolean;
}

/** What one slot holds, for diagnostics. */
export interface DiskView extends DiskSlot {
  readonly hostPath: string;
  readonly state: DiskStateKind;
  readonly mounts: readonly { readonly partition: number; readonly holders: number; readonly state: string }[];
}

interface Reservation {
  readonly disk: Disk;
  readonly mount: Mount;
}

/**
 * SCSI disks of one VM. A caller reserves a partition of a disk, maps it, and unmaps it in the end, also when mapping
 * failed; an unmap that failed is repeated until it succeeds. Disks attach in parallel; what concerns one disk is
 * done in order, so its users share one attach and one mount, which the last of them undoes.
 */
export class ScsiController {
  readonly #options: ScsiControllerOptions;
  readonly #freeSlots: DiskSlot[];
  readonly #disks = new Set<Disk>();
  readonly #reservations = new Map<string, Reservation>();

  /** Throws InvalidArgument for a number of controllers or a reserved slot that no VM has. */
  constructor(options: ScsiControllerOptions) {
    this.#options = options;
    this.#freeSlots = freeSlots(options);
  }

  get disks(): readonly DiskView[] {
    return [...this.#disks].map((disk) => ({
      ...disk.slot,
      hostPath: disk.config.hostPath,
      state: disk.state.kind,
      mounts: [...disk.mounts.values()].map(({ config, holders, state }) => ({
        partition: config.partition,
        holders: holders.size,
        state: state.kind,
      })),
    }));
  }

  /**
   * Reserves a slot for the disk, or a share of the slot that it has. Answers with the reservation's id; when it
   * throws there is nothing to undo. InvalidArgument: no such disk is possible; FailedPrecondition: the disk is in use
   * with another configuration; ResourceExhausted: no slot is free.
   */
  async reserve(config: DiskConfig, mountConfig: DiskMountConfig): Promise<string> {
    const { id: vmId, newId, comparePaths = (left, right) => left === right } = this.#options;
    checkConfig(vmId, config, mountConfig);
    const known = [...this.#disks].find((disk) => comparePaths(disk.config.hostPath, config.hostPath));
    if (known !== undefined) {
      checkSameDisk(vmId, known.config, config);
      const mount = known.mounts.get(mountConfig.partition);
      if (mount !== undefined) checkSameMount(vmId, config.hostPath, mount.config, mountConfig);
    }
    const disk = known ?? this.#place(config);
    const reservation = newId();
    this.#reservations.set(reservation, { disk, mount: disk.hold(mountConfig, reservation) });
    return reservation;
  }

  /**
   * Attaches the disk and mounts the partition, as far as that is not done, and answers with the path in the guest.
   * Repeatable. When it fails the reservation remains: map again, or unmap. NotFound: no such reservation.
   */
  async mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    const operation = "map disk";
    const { disk } = this.#require(reservation, operation);
    const { id, host, guest } = this.#options;
    try {
      return await disk.queue.run(async () => {
        // It may have been unmapped while this waited for its turn.
        const { mount } = this.#require(reservation, operation);
        await disk.ensureAttached(host, guest, signal);
        return await mount.ensureMounted(guest, signal);
      }, signal);
    } catch (error) {
      throw wrapError(error, operation, `${id} ${disk.config.hostPath} at ${disk.place}`);
    }
  }

  /**
   * Gives the reservation back: the partition's last one unmounts it, the disk's last one ejects and detaches it and
   * frees the slot. What is gone counts as done, and so does an unknown reservation, so that repeating is harmless.
   * A failed unmap keeps the reservation; the next one goes on where it stopped.
   */
  async unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    const disk = this.#reservations.get(reservation)?.disk;
    if (disk === undefined) return;
    try {
      await disk.queue.run(() => this.#release(reservation, signal), signal);
    } catch (error) {
      throw wrapError(error, "unmap disk", `${this.#options.id} ${disk.config.hostPath} at ${disk.place}`);
    }
  }

  async #release(reservation: string, signal?: AbortSignal): Promise<void> {
    const held = this.#reservations.get(reservation);
    if (held === undefined) return;
    const { disk, mount } = held;
    const { host, guest } = this.#options;
    if (mount.holders.size === 1) await mount.ensureUnmounted(guest, signal);
    // Asked only now: others may have reserved the disk while the guest unmounted.
    if (disk.mounts.size === 1 && mount.holders.size === 1) await disk.ensureDetached(host, guest, signal);
    disk.letGo(mount, reservation);
    this.#reservations.delete(reservation);
    if (disk.mounts.size > 0) return;
    this.#disks.delete(disk);
    this.#freeSlots.push(disk.slot);
  }

  #place(config: DiskConfig): Disk {
    const slot = this.#freeSlots.sort(bySlot).shift();
    if (slot === undefined) {
      const { id, controllers, reserved } = this.#options;
      const limit = `${controllers} controllers × ${lunsPerScsiController} LUNs, ${reserved.length} of them reserved`;
      throw new ControllerError("ResourceExhausted", `every SCSI slot of the VM is in use (${limit})`, {
        operation: "reserve disk",
        id: `${id} ${config.hostPath}`,
      });
    }
    const disk = new Disk(this.#options.id, slot, config);
    this.#disks.add(disk);
    return disk;
  }

  #require(reservation: string, operation: string): Reservation {
    const held = this.#reservations.get(reservation);
    if (held !== undefined) return held;
    throw new ControllerError("NotFound", `no reservation ${reservation}`, { operation, id: this.#options.id });
  }
}

function bySlot(left: DiskSlot, right: DiskSlot): number {
  return left.controller - right.controller || left.lun - right.lun;
}

function freeSlots({ id, controllers, reserved }: ScsiControllerOptions): DiskSlot[] {
  const refuse = (message: string): never => {
    throw new ControllerError("InvalidArgument", message, { operation: "set up SCSI of", id });
  };
  if (!Number.isInteger(controllers) || controllers < 1 || controllers > scsiControllerGuids.length) {
    refuse(`controllers is ${controllers}, expected an integer from 1 to ${scsiControllerGuids.length}`);
  }
  const free = new Map<string, DiskSlot>();
  for (let controller = 0; controller < controllers; controller++) {
    for (let lun = 0; lun < lunsPerScsiController; lun++) free.set(`${controller}:${lun}`, { controller, lun });
  }
  for (const { controller, lun } of reserved) {
    if (!free.delete(`${controller}:${lun}`)) {
      const range = `controllers 0 to ${controllers - 1} and LUNs 0 to ${lunsPerScsiController - 1}`;
      refuse(`reserved slot controller ${controller} LUN ${lun} does not exist or stands twice, there are ${range}`);
    }
  }
  return [...free.values()];
}
