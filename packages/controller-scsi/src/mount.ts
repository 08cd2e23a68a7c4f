import { type LinuxMappedVirtualDisk, linuxGuestPaths } from "@uvm-shim/hcs-schema";
import { Lifecycle, unlessGone } from "@uvm-shim/lifecycle";
import { type MountOperation, type MountState, type MountStateKind, mountTable } from "./lifecycle.ts";
import type { DiskMountConfig, DiskSlot, LinuxScsiGuest } from "./types.ts";

/** One partition's mount in the guest and who holds it. Its disk calls it, one operation at a time. */
export class Mount {
  readonly config: DiskMountConfig;
  /** Reservations that share this mount. */
  readonly holders = new Set<string>();
  readonly #settings: LinuxMappedVirtualDisk;
  readonly #life: Lifecycle<MountState, MountStateKind, MountOperation>;

  constructor(vmId: string, slot: DiskSlot, config: DiskMountConfig) {
    this.config = config;
    this.#settings = guestSettings(slot, config);
    this.#life = new Lifecycle(mountTable, `${vmId} ${this.#settings.MountPath}`, { kind: "Reserved" });
  }

  get state(): MountState {
    return this.#life.state;
  }

  /** Mounts, unless it is mounted, and answers with the path. What a failed attempt may have left goes first. */
  async ensureMounted(guest: () => LinuxScsiGuest, signal?: AbortSignal): Promise<string> {
    if (this.state.kind === "Mounted") return this.state.guestPath;
    if (this.state.kind === "Invalid") await this.ensureUnmounted(guest, signal);
    if (this.state.kind === "Unmounted") this.#life.succeed("reserve", { kind: "Reserved" });
    this.#life.require("mount");
    try {
      await guest().mountDisk(this.#settings, signal);
    } catch (error) {
      this.#life.fail("mount", { kind: "Invalid" });
      throw error;
    }
    const guestPath = this.#settings.MountPath;
    this.#life.succeed("mount", { kind: "Mounted", guestPath });
    return guestPath;
  }

  async ensureUnmounted(guest: () => LinuxScsiGuest, signal?: AbortSignal): Promise<void> {
    switch (this.state.kind) {
      case "Unmounted":
        return;
      case "Reserved":
        break;
      case "Mounted":
      case "Invalid":
        await unlessGone(() => guest().unmountDisk(this.#settings, signal));
    }
    this.#life.succeed("unmount", { kind: "Unmounted" });
  }
}

function guestSettings(slot: DiskSlot, config: DiskMountConfig): LinuxMappedVirtualDisk {
  return {
    MountPath: `${linuxGuestPaths.scsiMounts}/${slot.controller}/${slot.lun}/${config.partition}`,
    Controller: slot.controller,
    Lun: slot.lun,
    Partition: config.partition,
    ReadOnly: config.readOnly,
    Encrypted: config.encrypted ?? false,
    Options: config.options ?? [],
    BlockDev: config.blockDevice ?? false,
    EnsureFilesystem: config.ensureFilesystem ?? false,
    Filesystem: config.filesystem ?? "",
  };
}
