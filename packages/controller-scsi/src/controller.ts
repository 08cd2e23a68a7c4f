import { lunsPerScsiController } from "@uvm-shim/hcs-schema";
import { ControllerError, type HostPaths, wrapError } from "@uvm-shim/lifecycle";
import { checkedDisk, comparedDisk, diskOf, invalidFieldOf, refuseDifferences } from "./config.ts";
import { Disk } from "./disk.ts";
import type { LinuxDiskMount, LinuxScsiGuest } from "./lcow.ts";
import type { DiskStateKind, MountStateKind } from "./lifecycle.ts";
import type { Mount } from "./mount.ts";
import { DiskSlots } from "./slots.ts";
import type { DiskConfig, DiskSlot, GuestDisks, ReservedSlot, ScsiHost } from "./types.ts";

/** What a `ScsiController` is made from. */
export interface ScsiControllerOptions<Guest, MountConfig> {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: ScsiHost;
  /** Returns the guest; throws while there is none. Called at each use. */
  readonly guest: () => Guest;
  /** `linuxGuestDisks` with the guest's layout, or `windowsGuestDisks`. */
  readonly guestDisks: GuestDisks<Guest, MountConfig>;
  /** How many SCSI controllers the VM has, 1 to 4. */
  readonly controllers: number;
  /** Slots that the VM's document uses: no other disk is attached there. */
  readonly reserved: readonly ReservedSlot[];
  /** Path rules of the host that attaches the disks. */
  readonly paths: HostPaths;
  /** A new id for a reservation. */
  readonly newId: () => string;
}

/** What one slot holds, for diagnostics. */
export interface DiskView extends DiskSlot {
  readonly hostPath: string;
  readonly state: DiskStateKind;
  /** Whether the VM's document attaches it. */
  readonly isOfDocument: boolean;
  readonly mounts: readonly MountView[];
}

/** A mount of a partition at one moment, for diagnostics. */
export interface MountView {
  readonly partition: number;
  readonly guestPath: string;
  readonly state: MountStateKind;
  /** Ids of the reservations. */
  readonly holders: readonly string[];
}

interface Reservation<Guest, MountConfig> {
  readonly disk: Disk<Guest, MountConfig>;
  readonly mount: Mount<Guest, MountConfig>;
}

/**
 * SCSI disks of one VM. A caller reserves a partition of a disk, maps it, and finally unmaps it, even if mapping
 * failed; a failed unmap is repeated until it succeeds. Disks attach in parallel; operations on one disk run in order,
 * so its users share one attach and one mount, which the last of them undoes.
 */
export class ScsiController<Guest = LinuxScsiGuest, MountConfig = LinuxDiskMount> {
  readonly #options: ScsiControllerOptions<Guest, MountConfig>;
  readonly #slots: DiskSlots;
  /** By the key of their host paths. */
  readonly #disks = new Map<string, Disk<Guest, MountConfig>>();
  readonly #reservations = new Map<string, Reservation<Guest, MountConfig>>();

  /** Throws InvalidArgument for a number of controllers or a reserved slot that no VM has. */
  constructor(options: ScsiControllerOptions<Guest, MountConfig>) {
    this.#options = options;
    const { id, controllers, guestDisks, reserved, paths } = options;
    this.#slots = new DiskSlots(id, controllers, guestDisks.controllers, reserved);
    for (const { controller, lun, attachment } of reserved) {
      if (attachment === undefined) continue;
      const disk = new Disk(options, { controller, lun }, diskOf(attachment), true);
      this.#disks.set(paths.key(disk.config.hostPath), disk);
    }
  }

  get disks(): readonly DiskView[] {
    return [...this.#disks.values()].map((disk) => ({
      ...disk.slot,
      hostPath: disk.config.hostPath,
      state: disk.state.kind,
      isOfDocument: disk.isOfDocument,
      mounts: [...disk.mounts.values()].map(({ partition, guestPath, holders, state }) => ({
        partition,
        guestPath,
        state: state.kind,
        holders: [...holders],
      })),
    }));
  }

  /**
   * Reserves a slot for the disk, or joins the slot that it has. Returns the reservation's id; after an error there is
   * nothing to undo. InvalidArgument: no such disk can exist; FailedPrecondition: the disk is in use with another
   * configuration; ResourceExhausted: no slot is free.
   */
  async reserve(config: DiskConfig, mountConfig: MountConfig): Promise<string> {
    const { id: vmId, newId, paths, guestDisks } = this.#options;
    const invalid = invalidFieldOf(vmId, config.hostPath);
    const wanted = checkedDisk(config, paths, invalid);
    guestDisks.check(mountConfig, invalid);
    const key = paths.key(wanted.hostPath);
    const known = this.#disks.get(key);
    if (known !== undefined) {
      const what = `disk ${known.config.hostPath}`;
      refuseDifferences(vmId, what, comparedDisk(known.config), comparedDisk(wanted));
      const mount = known.mounts.get(guestDisks.partitionOf(mountConfig));
      if (mount !== undefined) {
        const partition = `partition ${mount.partition} of ${what}`;
        refuseDifferences(vmId, partition, guestDisks.compared(mount.config), guestDisks.compared(mountConfig));
      }
    }
    const isMounted = known?.mounts.has(guestDisks.partitionOf(mountConfig)) ?? false;
    if (!isMounted) this.#refuseTakenPath(guestDisks.wantedPath(mountConfig), known);
    const disk = known ?? this.#place(key, wanted);
    const reservation = newId();
    this.#reservations.set(reservation, { disk, mount: disk.hold(mountConfig, reservation) });
    return reservation;
  }

  /**
   * Attaches the disk and mounts the partition where that is not done yet, and returns the path in the guest.
   * Repeatable. After a failure the reservation remains: map again, or unmap. NotFound: no such reservation.
   */
  async mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    const operation = "map disk";
    const { disk } = this.#require(reservation, operation);
    try {
      return await disk.queue.run(async () => {
        // It may have been unmapped while this waited for its turn.
        const { mount } = this.#require(reservation, operation);
        await disk.ensureAttached(signal);
        return await mount.ensureMounted(signal);
      }, signal);
    } catch (error) {
      throw wrapError(error, operation, `${this.#options.id} ${disk.name}`);
    }
  }

  /** Where the reserved disk is attached, or will be. NotFound: no such reservation. */
  slotOf(reservation: string): DiskSlot {
    return this.#require(reservation, "look up disk").disk.slot;
  }

  /**
   * Releases the reservation. The last one of a partition unmounts it; the last one of a disk ejects and detaches it
   * and frees the slot. What is gone counts as done, as does an unknown reservation, so repeating is harmless. A failed
   * unmap keeps the reservation; the next attempt continues where it stopped.
   */
  async unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    const disk = this.#reservations.get(reservation)?.disk;
    if (disk === undefined) return;
    try {
      await disk.queue.run(() => this.#release(reservation, signal), signal);
    } catch (error) {
      throw wrapError(error, "unmap disk", `${this.#options.id} ${disk.name}`);
    }
  }

  async #release(reservation: string, signal?: AbortSignal): Promise<void> {
    const held = this.#reservations.get(reservation);
    if (held === undefined) return;
    const { disk, mount } = held;
    if (mount.holders.size === 1) await mount.ensureUnmounted(signal);
    // Checked only now: others may have reserved the disk while the guest unmounted.
    if (disk.mounts.size === 1 && mount.holders.size === 1) await disk.ensureDetached(signal);
    disk.letGo(mount, reservation);
    this.#reservations.delete(reservation);
    if (disk.mounts.size > 0 || disk.isOfDocument) return;
    this.#disks.delete(this.#options.paths.key(disk.config.hostPath));
    this.#slots.giveBack(disk.slot);
  }

  /** A second disk mounted at the same path would hide the first one from its users. */
  #refuseTakenPath(path: string | undefined, wanted: Disk<Guest, MountConfig> | undefined): void {
    if (path === undefined) return;
    const holder = [...this.#disks.values()].find(
      (disk) => disk !== wanted && [...disk.mounts.values()].some(({ guestPath }) => guestPath === path),
    );
    if (holder === undefined) return;
    throw new ControllerError("FailedPrecondition", `guest path ${path} is in use by disk ${holder.name}`, {
      operation: "reserve disk",
      id: this.#options.id,
    });
  }

  #place(key: string, config: DiskConfig): Disk<Guest, MountConfig> {
    const slot = this.#slots.take();
    if (slot === undefined) {
      const { id, controllers, guestDisks, reserved } = this.#options;
      const usable = Math.min(controllers, guestDisks.controllers);
      const limit = `${usable} controllers × ${lunsPerScsiController} LUNs, ${reserved.length} of them reserved`;
      throw new ControllerError("ResourceExhausted", `every SCSI slot of the VM is in use: ${limit}`, {
        operation: "reserve disk",
        id: `${id} ${config.hostPath}`,
      });
    }
    const disk = new Disk(this.#options, slot, config);
    this.#disks.set(key, disk);
    return disk;
  }

  #require(reservation: string, operation: string): Reservation<Guest, MountConfig> {
    const held = this.#reservations.get(reservation);
    if (held !== undefined) return held;
    throw new ControllerError("NotFound", `no reservation ${reservation}`, { operation, id: this.#options.id });
  }
}
