import { FakeReservations } from "@uvm-shim/container-common/testing";
import type { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import type {
  ContainerDevices,
  ContainerDisks,
  ContainerHostFiles,
  ContainerShares,
  DeviceConfig,
  DiskConfig,
  DiskMountConfig,
  HostBlockDevice,
  RootfsMount,
  ShareConfig,
} from "../types.ts";

type FileKind = "file" | "directory" | "block" | "other";

/** A host's files and mounts. */
export class FakeFiles implements ContainerHostFiles {
  readonly kinds = new Map<string, FileKind>();
  readonly links = new Map<string, string>();
  readonly mounted = new Set<string>();
  /** Directories with mounts below them. */
  readonly withMountsBelow = new Set<string>();
  /** Paths of block devices by `<major>:<minor>`; they are in `kinds` too. */
  readonly blockDevices = new Map<string, string>();
  /** Directories whose shares show later mounts. */
  readonly withLaterMounts = new Set<string>();
  /** Flags by a path on the mount. */
  readonly flagsOfMounts = new Map<string, readonly string[]>();
  readonly granted: string[] = [];
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  async kind(path: string): Promise<FileKind | undefined> {
    return this.kinds.get(this.links.get(path) ?? path);
  }

  async realPath(path: string): Promise<string> {
    return this.links.get(path) ?? path;
  }

  async hasMountsBelow(path: string): Promise<boolean> {
    return this.withMountsBelow.has(path);
  }

  async blockDevice(
    { major, minor }: { readonly major: number; readonly minor: number },
    named: string,
  ): Promise<HostBlockDevice | undefined> {
    const path = this.blockDevices.get(`${major}:${minor}`);
    return path === undefined ? undefined : { path, isNamed: path === named };
  }

  async mountFlags(path: string): Promise<readonly string[]> {
    return this.flagsOfMounts.get(path) ?? [];
  }

  async showsLaterMounts(path: string): Promise<boolean> {
    return this.withLaterMounts.has(path);
  }

  mountAll(_mounts: readonly RootfsMount[], target: string, signal?: AbortSignal): Promise<void> {
    return this.#script.run("mountAll", target, signal, () => void this.mounted.add(target));
  }

  unmountAll(target: string): Promise<void> {
    return this.#script.run("unmountAll", target, undefined, () => void this.mounted.delete(target));
  }

  grantVmAccess(path: string, signal?: AbortSignal): Promise<void> {
    return this.#script.run("grantVmAccess", path, signal, () => void this.granted.push(path));
  }

  removeFile(path: string): Promise<void> {
    return this.#script.run("removeFile", path, undefined, () => void this.kinds.delete(path));
  }
}

/** Disks of a VM that come when they are mapped. */
export class FakeDisks extends FakeReservations implements ContainerDisks {
  readonly requests: { readonly disk: DiskConfig; readonly mount: DiskMountConfig }[] = [];

  /** Guest paths of disks that are mounted already, by host path. */
  readonly standing = new Map<string, string>();
  readonly #places = new Map<string, string>();

  constructor(script: ScriptedCalls) {
    super("disk", "/run/mounts/scsi", script);
  }

  protected override placeOf(reservation: string): string | undefined {
    return this.#places.get(reservation);
  }

  async reserve(disk: DiskConfig, mount: DiskMountConfig): Promise<string> {
    this.requests.push({ disk, mount });
    const reservation = this.add(disk.hostPath);
    const { guestPath = this.standing.get(disk.hostPath) ?? mount.preferredGuestPath } = mount;
    if (guestPath !== undefined) this.#places.set(reservation, guestPath);
    return reservation;
  }
}

/** Shares of a VM that come when they are mapped. */
export class FakeShares extends FakeReservations implements ContainerShares {
  readonly requests: ShareConfig[] = [];

  constructor(script: ScriptedCalls) {
    super("share", "/run/mounts/p9", script);
  }

  async reserve(share: ShareConfig): Promise<string> {
    this.requests.push(share);
    return this.add(share.hostPath);
  }
}

/** Devices of a VM that come when they are mapped. */
export class FakeAssignedDevices extends FakeReservations implements ContainerDevices {
  readonly requests: DeviceConfig[] = [];

  constructor(script: ScriptedCalls) {
    super("device", "guid of", script);
  }

  async reserve(device: DeviceConfig): Promise<string> {
    this.requests.push(device);
    return this.add(device.deviceInstancePath);
  }
}
