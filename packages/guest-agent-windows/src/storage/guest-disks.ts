/** Disks and layers of a Windows guest, in the file systems that stand for them. */
import { closeSync, existsSync, mkdirSync, openSync, readSync, rmdirSync, statSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { type Children, detectFilesystem } from "@uvm-shim/guest-agent-common";
import { diskNode } from "@uvm-shim/host-protocol/guest";
import {
  LinuxCallError,
  mount,
  mountFlags,
  moveMount,
  openTree,
  setMountReadOnly,
  umount,
} from "@uvm-shim/linux-calls";
import { requireOverlayPath } from "../container/container.ts";
import type { MappedDirectory } from "../requests/guest-requests.ts";
import { folderBelow, readGuestPath, sourceOf } from "./windows-paths.ts";

const { MS_BIND, MS_RDONLY, MS_REC } = mountFlags;
const field = "Request.Settings";
/** How much of a disk must be empty for it to count as new. */
const firstBytes = 1024 * 1024;
/** A Windows layer has its files in there. */
const filesFolder = "Files";

/** Folders of the agent, outside of what Windows programs see. */
export interface DiskFolders {
  /** Drive C: of the virtual machine. */
  readonly drive: string;
  readonly disks: string;
  readonly combined: string;
}

export class GuestDisks {
  readonly #folders: DiskFolders;
  readonly #children: Pick<Children, "run">;

  constructor(folders: DiskFolders, children: Pick<Children, "run">) {
    this.#folders = folders;
    this.#children = children;
  }

  /** Mounts a disk of the one controller at a path of drive C:; formats an empty one. */
  async mount(lun: number, place: string, signal: AbortSignal): Promise<void> {
    const own = await this.mountOwn(lun, signal);
    try {
      mount(own, this.#placeOf(place, "ContainerPath"), "", MS_BIND);
    } catch (error) {
      this.#unmount(own);
      throw error;
    }
  }

  /** Mounts a disk where only the agent sees it. */
  async mountOwn(lun: number, signal: AbortSignal): Promise<string> {
    const device = await this.#fileSystemOf(lun, signal);
    const own = `${this.#folders.disks}/${lun}`;
    mkdirSync(own, { recursive: true });
    try {
      mount(device, own, "ext4", 0);
    } catch (error) {
      if (!(error instanceof LinuxCallError) || !["EROFS", "EACCES"].includes(String(error.code))) throw error;
      mount(device, own, "ext4", MS_RDONLY, "noload");
    }
    return own;
  }

  unmount(lun: number, place: string): void {
    this.#unmount(this.#placeOf(place, "ContainerPath"));
    this.#unmount(`${this.#folders.disks}/${lun}`);
  }

  /** Combines layers over the disk that is mounted at the root, and shows them there in its place. */
  combine(lun: number, place: string, layers: readonly string[]): void {
    const root = this.#placeOf(place, "ContainerRootPath");
    const scratch = `${this.#folders.disks}/${lun}`;
    const lower = layers.map((path, index) => this.#layerOf(path, `${field}.Layers[${index}].Path`));
    for (const name of ["upper", "work"]) mkdirSync(`${scratch}/${name}`, { recursive: true });
    const combined = this.combinedAt(lun);
    mkdirSync(combined, { recursive: true });
    const options = `lowerdir=${lower.join(":")},upperdir=${scratch}/upper,workdir=${scratch}/work`;
    mount("overlay", combined, "overlay", 0, options);
    mount(combined, root, "", MS_BIND | MS_REC);
  }

  separate(lun: number, place: string): void {
    this.#unmount(this.#placeOf(place, "ContainerRootPath"));
    this.#unmount(this.combinedAt(lun));
    rmdirSync(this.combinedAt(lun));
  }

  /** Shows a share, or a folder of drive C:, at another path of drive C:. */
  mapDirectory({ HostPath, ContainerPath, ReadOnly = false }: MappedDirectory): void {
    const source = sourceOf(HostPath, this.#folders.drive, `${field}.HostPath`);
    const tree = openTree(source.path, { recursive: true });
    try {
      if (ReadOnly) setMountReadOnly(tree, true);
      moveMount(tree, this.#placeOf(ContainerPath, "ContainerPath"));
    } finally {
      closeSync(tree);
    }
  }

  /** Where the agent finds layers that are combined over a disk. */
  combinedAt(lun: number): string {
    return `${this.#folders.combined}/${lun}`;
  }

  /** Major and minor number of a disk, joined by a colon. */
  deviceOf(lun: number): string {
    const { rdev } = statSync(diskNode(0, lun));
    return `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}`;
  }

  /** Throws a GuestFault for what is no path of drive C:. */
  #placeOf(path: string, name: string): string {
    const read = readGuestPath(path, `${field}.${name}`);
    if (read.kind !== "drive" || read.names.length === 0) {
      throw new GuestFault("E_INVALIDARG", `${field}.${name}: expected a folder of drive C:, got ${path}`);
    }
    return folderBelow(this.#folders.drive, read.names, `${field}.${name}`);
  }

  #layerOf(path: string, name: string): string {
    const layer = sourceOf(path, this.#folders.drive, name);
    const files = `${layer.path}/${filesFolder}`;
    if (!existsSync(files)) {
      throw new GuestFault("HCS_E_INVALID_LAYER", `${name}: ${path} is no layer: it has no folder ${filesFolder}`);
    }
    requireOverlayPath(files);
    return files;
  }

  /** The device with the disk's file system, which is its first partition's where it has partitions. */
  async #fileSystemOf(lun: number, signal: AbortSignal): Promise<string> {
    const node = diskNode(0, lun);
    if (!existsSync(node)) throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field}.Lun: there is no disk ${lun}`);
    const candidates = [node, diskNode(0, lun, 1)].filter((device) => existsSync(device));
    const found = candidates.find((device) => detectFilesystem(device) === "ext4");
    if (found !== undefined) return found;
    if (!isEmpty(node)) {
      const what = detectFilesystem(node) ?? "something else";
      throw new GuestFault("ERROR_NOT_SUPPORTED", `${field}.Lun: disk ${lun} holds ${what}: expected ext4, or nothing`);
    }
    const format = ["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", node];
    const { exitCode, stderr } = await this.#children.run(
      "mkfs.ext4",
      format,
      { stdio: ["ignore", "ignore", "pipe"] },
      signal,
    );
    if (exitCode !== 0) throw new GuestFault("E_FAIL", `disk ${lun} cannot be formatted: ${stderr.trim()}`);
    return node;
  }

  #unmount(place: string): void {
    try {
      umount(place);
    } catch (error) {
      if (!(error instanceof LinuxCallError) || error.code !== "EBUSY") throw error;
      throw new GuestFault("ERROR_SHARING_VIOLATION", `${field}: something there is in use`, { cause: error });
    }
  }
}

function isEmpty(device: string): boolean {
  const bytes = Buffer.alloc(firstBytes);
  const descriptor = openSync(device, "r");
  try {
    const length = readSync(descriptor, bytes, 0, firstBytes, 0);
    return bytes.subarray(0, length).every((byte) => byte === 0);
  } finally {
    closeSync(descriptor);
  }
}
