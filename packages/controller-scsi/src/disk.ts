import { Lifecycle, OperationQueue, unlessGone } from "@uvm-shim/lifecycle";
import { attachmentOf } from "./config.ts";
import { type DiskOperation, type DiskState, type DiskStateKind, diskTable } from "./lifecycle.ts";
import { Mount, type MountPlace } from "./mount.ts";
import type { DiskConfig, DiskSlot, ScsiHost } from "./types.ts";

/** Where disks are attached: a VM's host and guest. */
export interface DiskPlace<Guest, MountConfig> extends MountPlace<Guest, MountConfig> {
  readonly host: ScsiHost;
}

/** One disk in its slot, its mounts and their holders. Everything asynchronous runs in `queue`. */
export class Disk<Guest, MountConfig> {
  readonly config: DiskConfig;
  readonly slot: DiskSlot;
  /** Whether the VM's document attaches it: such a disk stays attached as long as the VM exists. */
  readonly isOfDocument: boolean;
  /** By partition. A mount is listed as long as it has holders. */
  readonly mounts = new Map<number, Mount<Guest, MountConfig>>();
  readonly queue = new OperationQueue();
  readonly #place: DiskPlace<Guest, MountConfig>;
  readonly #life: Lifecycle<DiskState, DiskStateKind, DiskOperation>;

  constructor(place: DiskPlace<Guest, MountConfig>, slot: DiskSlot, config: DiskConfig, isOfDocument = false) {
    this.#place = place;
    this.slot = slot;
    this.config = config;
    this.isOfDocument = isOfDocument;
    this.#life = new Lifecycle(diskTable, `${place.id} ${this.name}`, { kind: "Reserved" });
    if (isOfDocument) this.#life.happen("booted", { kind: "Attached" });
  }

  get state(): DiskState {
    return this.#life.state;
  }

  /** For messages. */
  get name(): string {
    return `${this.config.hostPath} at controller ${this.slot.controller} LUN ${this.slot.lun}`;
  }

  hold(config: MountConfig, reservation: string): Mount<Guest, MountConfig> {
    const partition = this.#place.guestDisks.partitionOf(config);
    const mount = this.mounts.get(partition) ?? new Mount(this.#place, this.slot, config);
    mount.holders.add(reservation);
    this.mounts.set(partition, mount);
    return mount;
  }

  letGo(mount: Mount<Guest, MountConfig>, reservation: string): void {
    mount.holders.delete(reservation);
    if (mount.holders.size === 0) this.mounts.delete(mount.partition);
  }

  /** Attaches unless attached. First removes what a failed attach or detach may have left. */
  async ensureAttached(signal?: AbortSignal): Promise<void> {
    if (this.state.kind === "Attached") return;
    if (this.state.kind === "Invalid" || this.state.kind === "Ejected") await this.ensureDetached(signal);
    if (this.state.kind === "Detached") this.#life.succeed("reserve", { kind: "Reserved" });
    this.#life.require("attach");
    try {
      await this.#place.host.attachDisk(this.slot.controller, this.slot.lun, attachmentOf(this.config), signal);
    } catch (error) {
      this.#life.fail("attach", { kind: "Invalid" });
      throw error;
    }
    this.#life.succeed("attach", { kind: "Attached" });
  }

  /** Detaches, continuing where an earlier attempt stopped. Disks of the VM's document stay. */
  async ensureDetached(signal?: AbortSignal): Promise<void> {
    if (this.isOfDocument) return;
    switch (this.state.kind) {
      case "Detached":
        return;
      case "Reserved":
        break;
      case "Attached":
        await unlessGone(() => this.#eject(signal));
        this.#life.succeed("eject", { kind: "Ejected" });
        await unlessGone(() => this.#detach(signal));
        break;
      case "Ejected":
      // A disk whose attach failed was never mounted, so the guest need not eject it.
      case "Invalid":
        await unlessGone(() => this.#detach(signal));
    }
    this.#life.succeed("detach", { kind: "Detached" });
  }

  async #eject(signal?: AbortSignal): Promise<void> {
    const { guest, guestDisks } = this.#place;
    await guestDisks.eject?.(guest(), this.slot, signal);
  }

  #detach(signal?: AbortSignal): Promise<void> {
    return this.#place.host.detachDisk(this.slot.controller, this.slot.lun, signal);
  }
}
