import type { WindowsBlockCim } from "@uvm-shim/hcs-schema";
import { ControllerError, type HostPaths, OperationQueue, unlessGone, wrapError } from "@uvm-shim/lifecycle";
import type { BlockCimConfig, CimConfig, ContainerCims, ContainerGuest, ContainerVm } from "./types.ts";

/** The VM's disks that the guest sees and does not mount; satisfied by controller-scsi. */
export interface CimDisks {
  reserve(
    disk: { readonly hostPath: string; readonly readOnly: true; readonly type: "VirtualDisk" | "PassThru" },
    mount: { readonly readOnly: true; readonly attachOnly: true },
  ): Promise<string>;
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<unknown>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
  /** Where a reserved disk is attached. */
  slotOf(reservation: string): { readonly lun: number };
}

/** What a `BlockCimController` is made from. */
export interface BlockCimControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly disks: CimDisks;
  /** Returns the guest; throws while there is none. Called at each use. */
  readonly guest: () => Pick<ContainerGuest, "mountBlockCims" | "unmountBlockCims">;
  readonly vm: Pick<ContainerVm, "grantVmAccess">;
  readonly paths: HostPaths;
  /** A new id for a reservation, and a GUID for a volume. */
  readonly newId: () => string;
  readonly newGuid: () => string;
}

/** The CIMs are on whole disks rather than in files of a file system. */
const onBlockDevices = 16;

/**
 * Volumes of block CIMs in one VM. A caller reserves a list of CIMs, maps it, and finally unmaps it, even if mapping
 * failed; a failed unmap is repeated until it succeeds. Containers with the same layers share one volume.
 */
export class BlockCimController implements ContainerCims {
  readonly #options: BlockCimControllerOptions;
  readonly #volumes = new Map<string, Volume>();
  readonly #reservations = new Map<string, Volume>();

  constructor(options: BlockCimControllerOptions) {
    this.#options = options;
  }

  /** For diagnostics. */
  get volumes(): readonly { readonly hostPath: string; readonly holders: number }[] {
    return [...this.#volumes.values()].map(({ title, holders }) => ({ hostPath: title, holders: holders.size }));
  }

  /** Returns the reservation's id; after an error there is nothing to undo. */
  async reserve(config: CimConfig): Promise<string> {
    const { id, paths, newId } = this.#options;
    const [first] = config.cims;
    if (first === undefined) {
      throw new ControllerError("InvalidArgument", "there is no CIM, expected at least one", {
        ...{ operation: "reserve block CIMs", id },
      });
    }
    const key = JSON.stringify(config.cims.map(({ hostPath, cimName }) => [paths.key(hostPath), cimName]));
    const volume = this.#volumes.get(key) ?? new Volume(this.#options, key, first.hostPath, config);
    const reservation = newId();
    volume.holders.add(reservation);
    this.#volumes.set(key, volume);
    this.#reservations.set(reservation, volume);
    return reservation;
  }

  /** Attaches the disks and mounts the volume where that is not done yet, and returns the volume's GUID. Repeatable. */
  async mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    const operation = "map block CIMs";
    const volume = this.#require(reservation, operation);
    try {
      return await volume.queue.run(async () => {
        // It may have been unmapped while this waited for its turn.
        this.#require(reservation, operation);
        return await volume.ensureMounted(signal);
      }, signal);
    } catch (error) {
      throw wrapError(error, operation, `${this.#options.id} ${volume.title}`);
    }
  }

  /** Releases the reservation; the last one unmounts the volume and detaches its disks. Repeatable. */
  async unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    const volume = this.#reservations.get(reservation);
    if (volume === undefined) return;
    try {
      await volume.queue.run(async () => {
        if (!this.#reservations.has(reservation)) return;
        if (volume.holders.size === 1) await volume.ensureReleased(signal);
        volume.holders.delete(reservation);
        this.#reservations.delete(reservation);
        // Checked only now: others may have reserved it meanwhile; they mount it again.
        if (volume.holders.size === 0) this.#volumes.delete(volume.key);
      }, signal);
    } catch (error) {
      throw wrapError(error, "unmap block CIMs", `${this.#options.id} ${volume.title}`);
    }
  }

  #require(reservation: string, operation: string): Volume {
    const volume = this.#reservations.get(reservation);
    if (volume !== undefined) return volume;
    throw new ControllerError("NotFound", `no reservation ${reservation}`, { operation, id: this.#options.id });
  }
}

/** One list of CIMs, its disks and its volume in the guest. Everything asynchronous runs in `queue`. */
class Volume {
  readonly key: string;
  /** For messages. */
  readonly title: string;
  readonly holders = new Set<string>();
  readonly queue = new OperationQueue();
  readonly #options: BlockCimControllerOptions;
  readonly #config: CimConfig;
  /** Reservations of the disks, in the order of the CIMs. */
  #disks: readonly string[] = [];
  /** What the guest has: nothing, perhaps a volume, or one. */
  #state:
    | { readonly kind: "Unmounted" }
    | { readonly kind: "Unsure"; readonly guid: string }
    | { readonly kind: "Mounted"; readonly guid: string } = { kind: "Unmounted" };

  constructor(options: BlockCimControllerOptions, key: string, title: string, config: CimConfig) {
    this.key = key;
    this.title = title;
    this.#options = options;
    this.#config = config;
  }

  async ensureMounted(signal?: AbortSignal): Promise<string> {
    if (this.#state.kind === "Mounted") return this.#state.guid;
    await this.ensureReleased(signal);
    const BlockCIMs: WindowsBlockCim[] = [];
    for (const cim of this.#config.cims) BlockCIMs.push(await this.#attach(cim, signal));
    const guid = this.#options.newGuid();
    this.#state = { kind: "Unsure", guid };
    const { containerId: ContainerID } = this.#config;
    const settings = { BlockCIMs, VolumeGUID: guid, MountFlags: onBlockDevices, ContainerID };
    await this.#options.guest().mountBlockCims(settings, signal);
    this.#state = { kind: "Mounted", guid };
    return guid;
  }

  async #attach({ hostPath, type, cimName }: BlockCimConfig, signal?: AbortSignal): Promise<WindowsBlockCim> {
    const { disks, vm } = this.#options;
    await vm.grantVmAccess(hostPath, signal);
    const disk = await disks.reserve({ hostPath, readOnly: true, type }, { readOnly: true, attachOnly: true });
    this.#disks = [...this.#disks, disk];
    await disks.mapToGuest(disk, signal);
    return { CimName: cimName, Lun: disks.slotOf(disk).lun };
  }

  /** Continues where an earlier attempt stopped. */
  async ensureReleased(signal?: AbortSignal): Promise<void> {
    const state = this.#state;
    if (state.kind !== "Unmounted") {
      this.#state = { kind: "Unsure", guid: state.guid };
      await unlessGone(() => this.#options.guest().unmountBlockCims({ VolumeGUID: state.guid }, signal));
      this.#state = { kind: "Unmounted" };
    }
    for (const disk of this.#disks.toReversed()) {
      await unlessGone(() => this.#options.disks.unmapFromGuest(disk, signal));
      this.#disks = this.#disks.filter((other) => other !== disk);
    }
  }
}
