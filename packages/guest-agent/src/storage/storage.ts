/** Makes disks, shares, layers and devices that the host has attached part of the guest. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { detectFilesystem, readOnlyOptionsOf } from "@uvm-shim/guest-agent-common";
import type {
  GuestScsiDevice,
  LinuxCombinedLayers,
  LinuxGuestRequest,
  LinuxMappedDirectory,
  LinuxMappedVirtualDisk,
} from "@uvm-shim/hcs-schema";
import { assignedDeviceFiles, assignedDeviceFolder } from "@uvm-shim/host-protocol/guest";
import { MNT_DETACH, mount, mountFlags, setMountReadOnly } from "@uvm-shim/linux-calls";
import type { GuardedContainer, PolicyGuard } from "../policy/policy-guard.ts";
import type { HashTree } from "../policy/verity.ts";
import { waitForAppearance } from "./appearance.ts";
import { parseMountOptions } from "./mount-options.ts";
import { mountOwn, removeMountPoint, unmountAll } from "./mount-points.ts";

/** Runs a program of the guest until it ends. The descriptor is its fourth. */
export type RunTool = (
  command: string,
  parameters: readonly string[],
  signal: AbortSignal,
  descriptor?: number,
) => Promise<{ exitCode: number; stderr: string }>;

/** Where the guest has the disks that the host attaches. */
export interface AttachedDisks {
  /** The node of a disk (partition 0) or of one of its partitions; undefined while it is absent. */
  find(controller: number, lun: number, partition?: number): string | undefined;
  /** Gives up a disk that nothing uses, which the host then detaches. */
  release(controller: number, lun: number): void;
}

/** Checks the contents of read-only disks whenever they are read. */
export interface VerifiedDisks {
  /** Returns the node of a device with what the disk has before its hash tree. */
  open(
    disk: LinuxMappedVirtualDisk,
    device: string,
    tree: HashTree,
    runTool: RunTool,
    signal: AbortSignal,
  ): Promise<string>;
  /** To be called when nothing uses the device any more. */
  close(disk: LinuxMappedVirtualDisk, tree: HashTree): void;
}

/** Mounts a share of the host at its mount path, which exists. Rejects with a GuestFault. */
export type ShareMounter = (share: LinuxMappedDirectory, runTool: RunTool, signal: AbortSignal) => Promise<void>;

/** A request about disks, shares, layers or devices. */
export type StorageRequest = Extract<
  LinuxGuestRequest,
  {
    readonly ResourceType: "MappedVirtualDisk" | "SCSIDevice" | "MappedDirectory" | "CombinedLayers" | "VPCIDevice";
  }
>;

/** What changes of storage need of the guest. */
export interface StorageSurroundings {
  readonly disks: AttachedDisks;
  /** Absent in a guest that cannot: it only looks for the hash tree. */
  readonly verified?: VerifiedDisks;
  readonly mountShare: ShareMounter;
  readonly runTool: RunTool;
  /** Present once the guest has a policy. */
  readonly guard: PolicyGuard | undefined;
  readonly containers: readonly GuardedContainer[];
}

/** Does what a request asks for. Rejects with a GuestFault. */
export async function modifyStorage(
  request: StorageRequest,
  surroundings: StorageSurroundings,
  signal: AbortSignal,
): Promise<void> {
  const { ResourceType, RequestType } = request;
  if (RequestType !== "Add" && RequestType !== "Remove") {
    throw new GuestFault("ERROR_NOT_SUPPORTED", `${RequestType} ${ResourceType}: expected Add or Remove`);
  }
  const isAdd = RequestType === "Add";
  switch (ResourceType) {
    case "MappedVirtualDisk":
      return isAdd
        ? await addDisk(request.Settings, surroundings, signal)
        : await removeDisk(request.Settings, surroundings, signal);
    case "SCSIDevice":
      if (isAdd) throw new GuestFault("ERROR_NOT_SUPPORTED", "Add SCSIDevice: expected Remove");
      return removeDevice(request.Settings, surroundings);
    case "MappedDirectory":
      return isAdd
        ? await addShare(request.Settings, surroundings, signal)
        : removeShare(request.Settings, surroundings);
    case "CombinedLayers":
      return isAdd ? addLayers(request.Settings, surroundings) : removeLayers(request.Settings, surroundings);
    case "VPCIDevice":
      // The host removes it by itself.
      if (!isAdd) throw new GuestFault("ERROR_NOT_SUPPORTED", "Remove VPCIDevice: expected Add");
      return await waitForDeclaration(request.Settings.VMBusGUID, signal);
  }
}

async function waitForDeclaration(vmBusGuid: string, signal: AbortSignal): Promise<void> {
  const path = `${assignedDeviceFolder(vmBusGuid)}/${assignedDeviceFiles.declaration}`;
  await waitForAppearance(() => existsSync(path) || undefined, signal);
}

function waitForDisk(
  { Controller, Lun, Partition }: LinuxMappedVirtualDisk,
  disks: AttachedDisks,
  signal: AbortSignal,
): Promise<string> {
  return waitForAppearance(() => disks.find(Controller, Lun, Partition), signal);
}

async function addDisk(
  disk: LinuxMappedVirtualDisk,
  { disks, verified, runTool, guard }: StorageSurroundings,
  signal: AbortSignal,
): Promise<void> {
  const device = await waitForDisk(disk, disks, signal);
  if (guard === undefined) return await mountDisk(disk, device, runTool, signal);
  await guard.addDisk(disk, device, async (tree) => {
    if (tree === undefined || verified === undefined) return await mountDisk(disk, device, runTool, signal);
    const checked = await verified.open(disk, device, tree, runTool, signal);
    try {
      await mountDisk(disk, checked, runTool, signal);
    } catch (error) {
      verified.close(disk, tree);
      throw error;
    }
  });
}

async function mountDisk(
  disk: LinuxMappedVirtualDisk,
  device: string,
  runTool: RunTool,
  signal: AbortSignal,
): Promise<void> {
  if (disk.BlockDev === true) {
    mkdirSync(parentOf(disk.MountPath), { recursive: true });
    symlinkSync(device, disk.MountPath);
    return;
  }
  const filesystem = await filesystemFor(disk, device, runTool, signal);
  const readOnly = disk.ReadOnly ? ["ro", ...readOnlyOptionsOf(filesystem)] : [];
  const { flags, data } = parseMountOptions([...(disk.Options ?? []), ...readOnly]);
  mountAt(disk.MountPath, () => mountOwn(disk.MountPath, () => mount(device, disk.MountPath, filesystem, flags, data)));
}

async function filesystemFor(
  disk: LinuxMappedVirtualDisk,
  device: string,
  runTool: RunTool,
  signal: AbortSignal,
): Promise<string> {
  const found = detectFilesystem(device);
  if (found !== undefined && (disk.Filesystem === undefined || disk.Filesystem === found)) return found;
  const expected = disk.Filesystem ?? "ext4";
  if (disk.EnsureFilesystem !== true) {
    throw new GuestFault(
      "HCS_E_INVALID_LAYER",
      `disk ${device} holds ${found ?? "no file system"}, expected ${expected}`,
    );
  }
  const { exitCode, stderr } = await runTool(`mkfs.${expected}`, ["-q", device], signal);
  if (exitCode !== 0) throw new GuestFault("E_FAIL", `mkfs.${expected} ${device}: exit ${exitCode}: ${stderr.trim()}`);
  return expected;
}

async function removeDisk(
  disk: LinuxMappedVirtualDisk,
  { disks, verified, guard }: StorageSurroundings,
  signal: AbortSignal,
): Promise<void> {
  // The real guest waits for the disk although only its mount point matters.
  const device = await waitForDisk(disk, disks, signal);
  const remove = (): void => {
    if (disk.BlockDev === true) rmSync(disk.MountPath, { force: true });
    else removeMount(disk.MountPath, 0);
  };
  if (guard === undefined) remove();
  else {
    guard.removeDisk(disk, device, (tree) => {
      remove();
      if (tree !== undefined) verified?.close(disk, tree);
    });
  }
}

function removeDevice({ Controller, Lun }: GuestScsiDevice, { disks }: StorageSurroundings): void {
  const device = disks.find(Controller, Lun);
  if (device === undefined) return;
  checkUnused(device);
  disks.release(Controller, Lun);
}

function checkUnused(device: string): void {
  const node = statSync(device, { throwIfNoEntry: false });
  if (node === undefined) return;
  const number = `${(node.rdev >> 8) & 0xfff}:${(node.rdev & 0xff) | ((node.rdev >> 12) & 0xfff00)}`;
  const user = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .find((columns) => columns[2] === number);
  if (user === undefined) return;
  throw new GuestFault("HCS_E_INVALID_STATE", `disk ${device} is still mounted at ${user[4]}`);
}

async function addShare(
  share: LinuxMappedDirectory,
  { guard, mountShare, runTool }: StorageSurroundings,
  signal: AbortSignal,
): Promise<void> {
  guard?.checkShare(share);
  const undo = makeMountPoint(share.MountPath);
  try {
    await mountShare(share, runTool, signal);
  } catch (error) {
    undo();
    throw error;
  }
}

function removeShare(share: LinuxMappedDirectory, { guard }: StorageSurroundings): void {
  const remove = (): void => removeMount(share.MountPath, MNT_DETACH);
  if (guard === undefined) remove();
  else guard.removeShare(share, remove);
}

function addLayers(layers: LinuxCombinedLayers, { guard }: StorageSurroundings): void {
  if (guard === undefined) combineLayers(layers);
  else guard.addLayers(layers, () => combineLayers(layers));
}

function removeLayers(layers: LinuxCombinedLayers, { guard, containers }: StorageSurroundings): void {
  const remove = (): void => removeMount(layers.ContainerRootPath, 0);
  if (guard === undefined) remove();
  else guard.removeLayers(layers, containers, remove);
}

/**
 * The real guest mounts a folder of the scratch disk over the container's folder, so that everything written there
 * is on the disk, unless the scratch directory is in that folder. Only deleting the container's state unmounts it.
 */
function combineLayers(layers: LinuxCombinedLayers): void {
  const bundle = parentOf(layers.ContainerRootPath);
  const isBound = isBoundToScratch(bundle, layers.ScratchPath);
  if (isBound) {
    const source = `${layers.ScratchPath}/bundle`;
    for (const path of [source, bundle]) mkdirSync(path, { recursive: true, mode: 0o755 });
    mountOwn(bundle, () => mount(source, bundle, "", mountFlags.MS_BIND));
  }
  try {
    mountLayers(layers);
  } catch (error) {
    if (isBound) unmountAll(bundle, 0);
    throw error;
  }
}

/** Whether a container with this scratch directory has a folder of the disk mounted over its own. */
export function isBoundToScratch(bundle: string, scratch: string): boolean {
  return scratch !== "" && scratch !== bundle && !scratch.startsWith(`${bundle}/`);
}

function mountLayers(layers: LinuxCombinedLayers): void {
  const target = layers.ContainerRootPath;
  const lower = layers.Layers.map(({ Path }) => Path);
  const [single] = lower;
  if (single === undefined) {
    throw new GuestFault("E_INVALIDARG", "Request.Settings.Layers is empty: expected at least one layer");
  }
  if (layers.ScratchPath === "" && lower.length === 1) {
    // An overlay needs two layers; a single one is bound instead.
    mountAt(target, () => {
      mount(single, target, "", mountFlags.MS_BIND);
      setMountReadOnly(target);
    });
    return;
  }
  const options = [`lowerdir=${lower.map(escapeOverlay).join(":")}`];
  if (layers.ScratchPath !== "") {
    const upper = `${layers.ScratchPath}/upper`;
    const work = `${layers.ScratchPath}/work`;
    for (const path of [upper, work]) mkdirSync(path, { recursive: true, mode: 0o755 });
    options.push(`upperdir=${escapeOverlay(upper)}`, `workdir=${escapeOverlay(work)}`);
  }
  const flags = layers.ScratchPath === "" ? mountFlags.MS_RDONLY : 0;
  mountAt(target, () => mountOwn(target, () => mount("overlay", target, "overlay", flags, options.join(","))));
}

function escapeOverlay(path: string): string {
  return path.replaceAll(/[\\:,]/g, (character) => `\\${character}`);
}

/** Makes the mount point if needed, and removes it again if mounting fails. */
function mountAt(target: string, act: () => void): void {
  const undo = makeMountPoint(target);
  try {
    act();
  } catch (error) {
    undo();
    throw error;
  }
}

/** Returns what removes the folders that had to be made. */
function makeMountPoint(target: string): () => void {
  const first = mkdirSync(target, { recursive: true, mode: 0o755 });
  return () => {
    if (first !== undefined) rmSync(first, { recursive: true, force: true });
  };
}

/** A missing path or mount counts as removed. The mount point is removed even if it existed before the mount. */
function removeMount(target: string, flags: number): void {
  unmountAll(target, flags);
  removeMountPoint(target);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
