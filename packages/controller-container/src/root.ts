import { dirname, isAbsolute, join, resolve } from "node:path";
import type { Refuse } from "./refusal.ts";
import type { ContainerHostFiles, DiskConfig, RootfsMount } from "./types.ts";

/** Where a container's root file system comes from, with host paths that were found to exist. */
export type RootPlan =
  /** Read-only layers, topmost first, that the guest combines; without a scratch disk the result is read-only. */
  | { readonly kind: "layers"; readonly layers: readonly string[]; readonly scratch: string | undefined }
  /** One block image that is the root as it is. */
  | {
      readonly kind: "image";
      readonly disk: DiskConfig;
      readonly filesystem: string;
      readonly options: readonly string[];
    }
  /** A directory of the host, over which it first mounts what only it can mount. */
  | { readonly kind: "shared"; readonly directory: string; readonly mounts: readonly RootfsMount[] };

export interface RootRequest {
  readonly rootfs: readonly RootfsMount[];
  readonly bundle: string;
  /** `root.path` of the specification, relative to the bundle. */
  readonly rootPath: string;
}

const layersType = "lcow-layer";
const parentLayersOption = "parentLayerPaths=";
/** The overlay file system of Linux takes 500 lower directories. */
const maximumLayers = 500;
const imageFilesystems = new Set(["ext2", "ext3", "ext4", "xfs", "btrfs", "erofs", "squashfs"]);
const readOnlyFilesystems = new Set(["erofs", "squashfs"]);
/** Options that speak about how the host would mount the image. */
const hostOptions = new Set(["loop", "ro", "rw"]);

export async function planRoot(request: RootRequest, files: ContainerHostFiles, refuse: Refuse): Promise<RootPlan> {
  const [first, ...more] = request.rootfs;
  if (first === undefined) return await planDirectory(request, files, refuse);
  const layers = request.rootfs.find((mount) => mount.type === layersType);
  if (layers !== undefined) {
    if (more.length === 0) return await planLayers(layers, files, refuse);
    throw refuse(
      "InvalidArgument",
      `rootfs: expected one ${layersType} mount alone, got ${request.rootfs.length} mounts`,
    );
  }
  if (more.length === 0 && imageFilesystems.has(first.type)) {
    const kind = await files.kind(first.source);
    if (kind === "file" || kind === "block") return await planImage(first, kind, files);
    throw refuse(
      "NotFound",
      `rootfs: ${first.type} image ${first.source} is ${kind ?? "missing"}, expected a file or block device`,
    );
  }
  return { kind: "shared", directory: join(request.bundle, "rootfs"), mounts: request.rootfs };
}

async function planDirectory(request: RootRequest, files: ContainerHostFiles, refuse: Refuse): Promise<RootPlan> {
  const directory = resolve(request.bundle, request.rootPath);
  const kind = await files.kind(directory);
  if (kind === "directory") return { kind: "shared", directory: await files.realPath(directory), mounts: [] };
  throw refuse(
    "NotFound",
    `rootfs: there are no mounts, and root.path ${directory} is ${kind ?? "missing"}, expected a directory`,
  );
}

/** The form that containerd's lcow snapshotter gives (plugins/snapshots/lcow): source is the snapshot's directory. */
async function planLayers(mount: RootfsMount, files: ContainerHostFiles, refuse: Refuse): Promise<RootPlan> {
  const layers: string[] = [];
  for (const parent of parentLayers(mount, refuse)) {
    const layer = join(parent, "layer.vhd");
    layers.push(await existingDisk(layer, "layer", files, refuse));
  }
  if (mount.options.includes("ro")) return { kind: "layers", layers, scratch: undefined };
  const scratch = join(mount.source, "sandbox.vhd");
  // Only a host that cannot read VHDX has the scratch disk under the name without x.
  const scratchFile = (await files.kind(scratch)) === "file" ? scratch : `${scratch}x`;
  return { kind: "layers", layers, scratch: await existingDisk(scratchFile, "scratch disk", files, refuse) };
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
    throw refuse("InvalidArgument", `rootfs: ${layersType} ${mount.source}: ${expected}, got no JSON`, error);
  }
  const isPath = (value: unknown): value is string => typeof value === "string" && isAbsolute(value);
  if (!Array.isArray(parents) || parents.length === 0 || parents.length > maximumLayers || !parents.every(isPath)) {
    throw refuse("InvalidArgument", `rootfs: ${layersType} ${mount.source}: ${expected}, got ${option.slice(0, 200)}`);
  }
  return parents;
}

async function existingDisk(path: string, what: string, files: ContainerHostFiles, refuse: Refuse): Promise<string> {
  const kind = await files.kind(path);
  if (kind === "file") return await files.realPath(path);
  if (kind === undefined) throw refuse("NotFound", `rootfs: ${what} ${path} does not exist in ${dirname(path)}`);
  throw refuse("InvalidArgument", `rootfs: ${what} ${path} is a ${kind}, expected a file`);
}

async function planImage(mount: RootfsMount, kind: "file" | "block", files: ContainerHostFiles): Promise<RootPlan> {
  return {
    kind: "image",
    disk: {
      hostPath: await files.realPath(mount.source),
      readOnly: mount.options.includes("ro") || readOnlyFilesystems.has(mount.type),
      type: kind === "file" ? "VirtualDisk" : "PassThru",
    },
    filesystem: mount.type,
    options: mount.options.filter((option) => !hostOptions.has(option)),
  };
}
