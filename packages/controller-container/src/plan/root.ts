import { dirname, isAbsolute, join, resolve } from "node:path";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { DiskConfig, PathLookup, RootfsMount } from "../types.ts";
import { isReadOnly, readOnlyOption } from "./disk-mounts.ts";

/** The source of a container's root file system, with existing paths of the host. */
export type RootPlan =
  /** Read-only layers, topmost first, that the guest combines; without a scratch disk the root is read-only. */
  | { readonly kind: "layers"; readonly layers: readonly Layer[]; readonly scratch: Scratch | undefined }
  /** A disk image that is the root. */
  | {
      readonly kind: "image";
      readonly disk: DiskConfig;
      readonly filesystem: string;
      readonly options: readonly string[];
    }
  /** A directory of the host, with mounts that only the host can make. */
  | {
      readonly kind: "shared";
      readonly directory: string;
      readonly mounts: readonly RootfsMount[];
      readonly readOnly: boolean;
    };

/** A read-only layer, on a disk of its own or a partition of one. */
export interface Layer {
  readonly hostPath: string;
  /** 0: the whole disk. */
  readonly partition: number;
}

/** The disk that takes what a container writes. */
export interface Scratch {
  readonly hostPath: string;
  readonly encrypted: boolean;
}

/** What a container's root file system is found from. */
export interface RootRequest {
  /**
   * `windows.layerFolders` of the specification: folders of the layers, topmost first, then that of the scratch disk.
   */
  readonly layerFolders: readonly string[];
  readonly encryptScratch: boolean;
  readonly rootfs: readonly RootfsMount[];
  readonly bundle: string;
  /** `root.path` of the specification, relative to the bundle. */
  readonly rootPath: string;
  /** Whether the guest accepts mount options of disks. */
  readonly takesDiskOptions: boolean;
  /** Whether that directory is shared read-only. */
  readonly sharesReadOnly: boolean;
}

const layersType = "lcow-layer";
const parentLayersOption = "parentLayerPaths=";
const partitionsType = "lcow-partitioned-layer";
const scratchOption = "scratch=";
const partitionsOption = "parent-partitioned-layers=";
const highestPartition = 0xffff;
/** Linux overlays support at most 500 lower directories. */
const maximumLayers = 500;
const imageFilesystems = new Set(["ext2", "ext3", "ext4", "xfs", "btrfs", "erofs", "squashfs"]);
const readOnlyFilesystems = new Set(["erofs", "squashfs"]);
/** Options for a mount of the image on the host. */
const hostOptions = new Set(["loop", "ro", "rw"]);

/**
 * How the guest gets a container's root; FailedPrecondition if what is written would not be encrypted although it must
 * be.
 */
export async function planRoot(request: RootRequest, files: PathLookup, refuse: Refuse): Promise<RootPlan> {
  const plan = await planAnyRoot(request, files, refuse);
  if (!request.encryptScratch || !isWrittenPlainly(plan)) return plan;
  const message =
    "rootfs: scratch disks of this pod are encrypted, expected layers with a scratch disk, or a read-only root";
  throw refuse("FailedPrecondition", message);
}

function isWrittenPlainly(plan: RootPlan): boolean {
  switch (plan.kind) {
    case "layers":
      return false;
    case "image":
      return !plan.disk.readOnly;
    case "shared":
      return !plan.readOnly;
  }
}

async function planAnyRoot(request: RootRequest, files: PathLookup, refuse: Refuse): Promise<RootPlan> {
  const { rootfs, layerFolders } = request;
  const [first, ...more] = rootfs;
  if (layerFolders.length > 0) {
    if (first === undefined) return await planLayerFolders(request, files, refuse);
    const message = `rootfs: expected either mounts or config.json: windows.layerFolders, got ${rootfs.length} mounts and ${layerFolders.length} folders`;
    throw refuse("InvalidArgument", message);
  }
  if (first === undefined) return await planDirectory(request, files, refuse);
  const layers = rootfs.find(isLayers);
  if (layers !== undefined) {
    if (more.length > 0) {
      throw refuse("InvalidArgument", `rootfs: expected a single ${layers.type} mount, got ${rootfs.length} mounts`);
    }
    return layers.type === layersType
      ? await planLayers(layers, request, files, refuse)
      : await planPartitions(layers, request, files, refuse);
  }
  if (more.length === 0 && isImage(first)) {
    const kind = await files.kind(first.source);
    if (kind === "file" || kind === "block") return await planImage(first, kind, request, files, refuse);
    throw refuse(
      "NotFound",
      `rootfs: ${first.type} image ${first.source} is ${kind ?? "missing"}, expected a file or block device`,
    );
  }
  const readOnly = isMountedReadOnly(rootfs.at(-1) ?? first);
  return { kind: "shared", ...hostMountsAt(request), readOnly };
}

/** Mounts that only the host can make, and where. */
export type HostMounts = Pick<RootPlan & { readonly kind: "shared" }, "directory" | "mounts">;

/** What the host mounts for a root, if it mounts anything. The request is not checked. */
export function hostMountsOf(request: Pick<RootRequest, "bundle" | "rootfs" | "layerFolders">): HostMounts | undefined {
  const { rootfs, layerFolders } = request;
  const isDisks = layerFolders.length > 0 || rootfs.some(isLayers) || (rootfs.length === 1 && rootfs.some(isImage));
  return isDisks || rootfs.length === 0 ? undefined : hostMountsAt(request);
}

function hostMountsAt({ bundle, rootfs }: Pick<RootRequest, "bundle" | "rootfs">): HostMounts {
  return { directory: join(bundle, "rootfs"), mounts: rootfs };
}

function isLayers({ type }: RootfsMount): boolean {
  return type === layersType || type === partitionsType;
}

function isImage({ type }: RootfsMount): boolean {
  return imageFilesystems.has(type);
}

/** An overlay without an upper directory, as for a view of a snapshot, is read-only. */
function isMountedReadOnly({ type, options }: RootfsMount): boolean {
  return isReadOnly({ options }) || (type === "overlay" && !options.some((option) => option.startsWith("upperdir=")));
}

async function planDirectory(request: RootRequest, files: PathLookup, refuse: Refuse): Promise<RootPlan> {
  const directory = resolve(request.bundle, request.rootPath);
  const kind = await files.kind(directory);
  if (kind === "directory") {
    const readOnly = request.sharesReadOnly;
    return { kind: "shared", directory: await files.realPath(directory), mounts: [], readOnly };
  }
  throw refuse(
    "NotFound",
    `rootfs: no mounts given, and root.path ${directory} is ${kind ?? "missing"}: expected a directory`,
  );
}

/** The mounts of containerd's lcow snapshotter (plugins/snapshots/lcow): the source is the snapshot's folder. */
async function planLayers(
  mount: RootfsMount,
  { encryptScratch: encrypted }: RootRequest,
  files: PathLookup,
  refuse: Refuse,
): Promise<RootPlan> {
  const layers = await layersIn(parentLayers(mount, refuse), files, refuse);
  if (isReadOnly(mount)) return { kind: "layers", layers, scratch: undefined };
  return { kind: "layers", layers, scratch: { hostPath: await scratchIn(mount.source, files, refuse), encrypted } };
}

/** The older form without mounts of layers (internal/layers of microsoft/hcsshim). */
async function planLayerFolders(
  { layerFolders, encryptScratch: encrypted }: RootRequest,
  files: PathLookup,
  refuse: Refuse,
): Promise<RootPlan> {
  const scratch = layerFolders.at(-1) ?? "";
  const folders = layerFolders.slice(0, -1);
  if (folders.length === 0 || folders.length > maximumLayers || !layerFolders.every((folder) => isAbsolute(folder))) {
    const accepted = `the absolute paths of 1 to ${maximumLayers} layers and of the scratch disk`;
    const given = JSON.stringify(layerFolders).slice(0, 200);
    throw refuse("InvalidArgument", `config.json: windows.layerFolders: expected ${accepted}, got ${given}`);
  }
  const layers = await layersIn(folders, files, refuse);
  return { kind: "layers", layers, scratch: { hostPath: await scratchIn(scratch, files, refuse), encrypted } };
}

/** Layers on partitions of disks, in the form of `lcow-partitioned-layer`. */
async function planPartitions(
  { options }: RootfsMount,
  { encryptScratch: encrypted }: RootRequest,
  files: PathLookup,
  refuse: Refuse,
): Promise<RootPlan> {
  const unknown = options.find((option) => !option.startsWith(scratchOption) && !option.startsWith(partitionsOption));
  if (unknown !== undefined) {
    const message = `rootfs: ${partitionsType}: unknown option ${unknown}, expected ${scratchOption} and ${partitionsOption}`;
    throw refuse("InvalidArgument", message);
  }
  const layers: Layer[] = [];
  for (const { hostPath, partition } of partitionsOf(options, refuse)) {
    layers.push({ hostPath: await existingDisk(hostPath, "layer", files, refuse), partition });
  }
  const scratch = options.find((option) => option.startsWith(scratchOption))?.slice(scratchOption.length) ?? "";
  if (!isAbsolute(scratch)) {
    const message = `rootfs: ${partitionsType}: expected option ${scratchOption} with an absolute path, got ${JSON.stringify(scratch)}`;
    throw refuse("InvalidArgument", message);
  }
  return {
    kind: "layers",
    layers,
    scratch: { hostPath: await existingDisk(scratch, "scratch disk", files, refuse), encrypted },
  };
}

function partitionsOf(options: readonly string[], refuse: Refuse): readonly Layer[] {
  const accepted = `option ${partitionsOption} with a JSON list of 1 to ${maximumLayers} objects {"Path": <absolute path>, "Partition": <0 to ${highestPartition}>}`;
  const given = options.find((option) => option.startsWith(partitionsOption)) ?? "";
  const refuseOption = (cause?: unknown) =>
    refuse("InvalidArgument", `rootfs: ${partitionsType}: expected ${accepted}, got ${given.slice(0, 200)}`, cause);
  let parsed: unknown;
  try {
    parsed = JSON.parse(given.slice(partitionsOption.length));
  } catch (error) {
    throw refuseOption(error);
  }
  if (!Array.isArray(parsed) || parsed.length === 0 || parsed.length > maximumLayers) throw refuseOption();
  return parsed.map((item: unknown) => {
    const { Path: path, Partition: partition = 0 } = (item ?? {}) as { Path?: unknown; Partition?: unknown };
    const isPartition = Number.isInteger(partition) && (partition as number) >= 0;
    if (typeof path !== "string" || !isAbsolute(path) || !isPartition || (partition as number) > highestPartition) {
      throw refuseOption();
    }
    return { hostPath: path, partition: partition as number };
  });
}

async function layersIn(folders: readonly string[], files: PathLookup, refuse: Refuse): Promise<readonly Layer[]> {
  const layers: Layer[] = [];
  for (const folder of folders) {
    layers.push({ hostPath: await existingDisk(join(folder, "layer.vhd"), "layer", files, refuse), partition: 0 });
  }
  return layers;
}

async function scratchIn(folder: string, files: PathLookup, refuse: Refuse): Promise<string> {
  const scratch = join(folder, "sandbox.vhd");
  // Hosts that cannot read VHDX have a .vhd; others a .vhdx.
  const file = (await files.kind(scratch)) === "file" ? scratch : `${scratch}x`;
  return await existingDisk(file, "scratch disk", files, refuse);
}

function parentLayers(mount: RootfsMount, refuse: Refuse): readonly string[] {
  const option = mount.options.find((candidate) => candidate.startsWith(parentLayersOption));
  const expected = `expected option ${parentLayersOption} with a JSON list of 1 to ${maximumLayers} absolute paths`;
  if (option === undefined)
    throw refuse("InvalidArgument", `rootfs: ${layersType} ${mount.source}: ${expected}, got none`);
  let parents: unknown;
  try {
    parents = JSON.parse(option.slice(parentLayersOption.length));
  } catch (error) {
    throw refuse("InvalidArgument", `rootfs: ${layersType} ${mount.source}: ${expected}, got invalid JSON`, error);
  }
  const isPath = (value: unknown): value is string => typeof value === "string" && isAbsolute(value);
  if (!Array.isArray(parents) || parents.length === 0 || parents.length > maximumLayers || !parents.every(isPath)) {
    throw refuse("InvalidArgument", `rootfs: ${layersType} ${mount.source}: ${expected}, got ${option.slice(0, 200)}`);
  }
  return parents;
}

async function existingDisk(path: string, what: string, files: PathLookup, refuse: Refuse): Promise<string> {
  const kind = await files.kind(path);
  if (kind === "file") return await files.realPath(path);
  if (kind === undefined) throw refuse("NotFound", `rootfs: ${what} ${path} does not exist in ${dirname(path)}`);
  throw refuse("InvalidArgument", `rootfs: ${what} ${path} is a ${kind}, expected a file`);
}

async function planImage(
  mount: RootfsMount,
  kind: "file" | "block",
  { takesDiskOptions }: RootRequest,
  files: PathLookup,
  refuse: Refuse,
): Promise<RootPlan> {
  const readOnly = isReadOnly(mount) || readOnlyFilesystems.has(mount.type);
  const options = mount.options.filter((option) => !hostOptions.has(option));
  if (!takesDiskOptions && options.length > 0) {
    const message = `rootfs: ${mount.type} image ${mount.source}: options ${options.join(", ")} given, expected none: a guest with a security policy accepts only ro`;
    throw refuse("FailedPrecondition", message);
  }
  return {
    kind: "image",
    disk: {
      hostPath: await files.realPath(mount.source),
      readOnly,
      type: kind === "file" ? "VirtualDisk" : "PassThru",
    },
    filesystem: mount.type,
    options: takesDiskOptions ? options : readOnlyOption(readOnly),
  };
}
