import type { ScsiAttachment } from "@uvm-shim/hcs-schema";
import { Lifecycle, OperationQueue, unlessGone } from "@uvm-shim/lifecycle";
import { type DiskOperation, type DiskState, type DiskStateKind, diskTable } from "./lifecycle.ts";
import { Mount } from "./mount.ts";
import type { DiskConfig, DiskMountConfig, DiskSlot, LinuxScsiGuest, ScsiHost } from "./types.ts";

/** One disk in its slot, its mounts and who holds them. Everything that awaits goes through `queue`. */
export class Disk {
  readonly config: DiskConfig;
  readonly slot: DiskSlot;
  /** By partition. A mount is listed as long as it has holders. */
  readonly mounts = new Map<number, Mount>();
  readonly queue = new OperationQueue();
  readonly #vmId: string;
  readonly #life: Lifecycle<DiskState, DiskStateKind, DiskOperation>;

  constructor(vmId: string, slot: DiskSlot, config: DiskConfig) {
    this.#vmId = vmId;
    this.slot = slot;
    this.config = config;
    this.#life = new Lifecycle(diskTable, `${vmId} ${this.place} ${config.hostPath}`, { kind: "Reserved" });
  }

  get state(): DiskState {
    return this.#life.state;
  }

  /** For messages. */
  get place(): string {
    return `controller ${this.slot.controller} LUN ${this.slot.lun}`;
  }

  hold(config: DiskMountConfig, reservation: string): Mount {
    const mount = this.mounts.get(config.partition) ?? new Mount(this.#vmId, this.slot, config);
    mount.holders.add(reservation);
    this.mounts.set(config.partition, mount);
    return mount;
  }

  letGo(mount: Mount, reservation: string): void {
    mount.holders.delete(reservation);
    if (mount.holders.size === 0) this.mounts.delete(mount.config.partition);
  }

  /** Attaches, unless it is attached. What a failed attach or detach may have left goes first. */
  async ensureAttached(host: ScsiHost, guest: () => LinuxScsiGuest, signal?: AbortSignal): Promise<void> {
    if (this.state.kind === "Attached") return;
    if (this.state.kind === "Invalid" || this.state.kind === "Ejected") await this.ensureDetached(host, guest, signal);
    if (this.state.kind === "Detached") this.#life.succeed("reserve", { kind: "Reserved" });
    this.#life.require("attach");
    try {
      await host.attachDisk(this.slot.controller, this.slot.lun, attachment(this.config), signal);
    } catch (error) {
      this.#life.fail("attach", { kind: "Invalid" });
      throw error;
    }
    this.#life.succeed("attach", { kind: "Attached" });
  }

  /** Goes on where an earlier attempt stopped. */
  async ensureDetached(host: ScsiHost, guest: () => LinuxScsiGuest, signal?: AbortSignal): Promise<void> {
    const { controller, lun } = this.slot;
    switch (this.state.kind) {
      case "Detached":
        return;
      case "Reserved":
        break;
      case "Attached":
        await unlessGone(() => guest().ejectDisk({ Controller: controller, Lun: lun }, signal));
        this.#life.succeed("eject", { kind: "Ejected" });
        await unlessGone(() => host.detachDisk(controller, lun, signal));
        break;
      case "Ejected":
      // A disk whose attach failed was never mounted: the guest, if it has the device at all, has no use for it.
      case "Invalid":
        await unlessGone(() => host.detachDisk(controller, lun, signal));
    }
    this.#life.succeed("detach", { kind: "Detached" });
  }
}

function attachment(config: DiskConfig): ScsiAttachment {
  return {
    Type: config.type,
    Path: config.hostPath,
    ReadOnly: config.readOnly,
    ...(config.extensibleVirtualDiskType !== undefined && {
      ExtensibleVirtualDiskType: config.extensibleVirtualDiskType,
    }),
  };
}
