import { Lifecycle, unlessGone } from "@uvm-shim/lifecycle";
import { type MountOperation, type MountState, type MountStateKind, mountTable } from "./lifecycle.ts";
import type { DiskSlot, GuestDisks } from "./types.ts";

/** Where mounts are made: the VM, its guest, and the requests of this flavour's guests. */
export interface MountPlace<Guest, MountConfig> {
  /** Id of the VM. */
  readonly id: string;
  readonly guest: () => Guest;
  readonly guestDisks: GuestDisks<Guest, MountConfig>;
}

/** One partition's mount in the guest and its holders. Its disk runs one operation at a time. */
export class Mount<Guest, MountConfig> {
  readonly config: MountConfig;
  readonly partition: number;
  /** Reservations that share this mount. */
  readonly holders = new Set<string>();
  readonly #slot: DiskSlot;
  readonly #place: MountPlace<Guest, MountConfig>;
  readonly #life: Lifecycle<MountState, MountStateKind, MountOperation>;

  constructor(place: MountPlace<Guest, MountConfig>, slot: DiskSlot, config: MountConfig) {
    this.config = config;
    this.partition = place.guestDisks.partitionOf(config);
    this.#slot = slot;
    this.#place = place;
    this.#life = new Lifecycle(mountTable, `${place.id} ${this.guestPath}`, { kind: "Reserved" });
  }

  get state(): MountState {
    return this.#life.state;
  }

  /** Where it is mounted, once it is. */
  get guestPath(): string {
    const { guestDisks } = this.#place;
    return guestDisks.wantedPath(this.config) ?? guestDisks.guestPath(this.#slot, this.config);
  }

  /** Mounts unless mounted, and returns the path. First removes what a failed attempt may have left. */
  async ensureMounted(signal?: AbortSignal): Promise<string> {
    if (this.state.kind === "Mounted") return this.state.guestPath;
    if (this.state.kind === "Invalid") await this.ensureUnmounted(signal);
    if (this.state.kind === "Unmounted") this.#life.succeed("reserve", { kind: "Reserved" });
    this.#life.require("mount");
    const { guest, guestDisks } = this.#place;
    try {
      await guestDisks.mount(guest(), this.#slot, this.config, signal);
    } catch (error) {
      this.#life.fail("mount", { kind: "Invalid" });
      throw error;
    }
    const { guestPath } = this;
    this.#life.succeed("mount", { kind: "Mounted", guestPath });
    return guestPath;
  }

  async ensureUnmounted(signal?: AbortSignal): Promise<void> {
    const { guest, guestDisks } = this.#place;
    switch (this.state.kind) {
      case "Unmounted":
        return;
      case "Reserved":
        break;
      case "Mounted":
      case "Invalid":
        await unlessGone(async () => guestDisks.unmount(guest(), this.#slot, this.config, signal));
    }
    this.#life.succeed("unmount", { kind: "Unmounted" });
  }
}
