import { posix } from "node:path";
import { reservedStep } from "@uvm-shim/container-common";
import { type LinuxCombinedLayers, linuxGuestPaths, type OciMount, type OciWindowsDevice } from "@uvm-shim/hcs-schema";
import type { Step } from "@uvm-shim/lifecycle";
import type { DevicePlan } from "../plan/devices.ts";
import { attachedMount } from "../plan/disk-mounts.ts";
import type { MountPlan } from "../plan/mount-plan.ts";
import { sharedMount } from "../plan/mounts.ts";
import type { RootPlan } from "../plan/root.ts";
import type {
  BegunMounts,
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
  ContainerPlaces,
  ContainerShares,
  DiskConfig,
  DiskMountConfig,
} from "../types.ts";

/** The boundaries at which a container's resources are acquired. */
export interface ResourceBoundaries {
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly files: ContainerHostFiles;
  /** Absent where the host mounts nothing before the container is created. */
  readonly begunMounts?: BegunMounts | undefined;
}

/** Index of the root file system among a container's own shares; its mounts follow. */
const rootShare = 0;

/** The root file system in the guest, filled in as the steps run. */
export interface GuestRoot {
  path: string;
  /** Where the container's writes go: on its scratch disk, or in the VM's memory. */
  scratchPath: string;
  /** Whether the root is read-only, whatever the specification says. */
  isReadOnly: boolean;
}

/** Steps that build the root file system, in the order of acquisition. */
export interface RootSteps {
  /** Mounts on the host, which outlive the VM. */
  readonly host: readonly Step[];
  /** Disks and shares of the VM. */
  readonly devices: readonly Step[];
  /** The combination of layers in the container's bundle in the guest. */
  readonly combination: readonly Step[];
}

/**
 * Guest and runtime create files and mount points in every root. Over a read-only root the guest puts a writable layer
 * in memory. The container's view is still read-only, unless a writable root was requested.
 */
function keepInMemory(places: ContainerPlaces, root: GuestRoot, isReadOnly: boolean): void {
  root.scratchPath = places.own?.scratch ?? posix.join(places.bundle, "scratch", places.id);
  root.isReadOnly = isReadOnly;
}

/** The steps that make a container's root in the guest. */
export function rootSteps(
  plan: RootPlan,
  places: ContainerPlaces,
  boundaries: ResourceBoundaries,
  root: GuestRoot,
): RootSteps {
  switch (plan.kind) {
    case "layers":
      return layerSteps(plan, places, boundaries, root);
    case "image": {
      const whole = wholeRoot(plan.disk.readOnly ? "read-only" : "plain", places, boundaries.guest, root);
      return {
        host: [],
        devices: [imageStep(plan, places, boundaries, whole.onMapped)],
        combination: whole.combination,
      };
    }
    case "shared": {
      const writable = places.own === undefined ? "plain" : "in memory";
      const whole = wholeRoot(plan.readOnly ? "read-only" : writable, places, boundaries.guest, root);
      return {
        host: plan.mounts.length === 0 ? [] : [hostMountStep(plan, boundaries)],
        devices: [sharedRootStep(plan, places, boundaries.shares, whole.onMapped)],
        combination: whole.combination,
      };
    }
  }
}

/** The steps for a root that is a single disk or share, once that is mapped. */
function wholeRoot(
  written: "plain" | "in memory" | "read-only",
  places: ContainerPlaces,
  guest: ContainerGuest,
  root: GuestRoot,
): { readonly onMapped: (guestPath: string) => void; readonly combination: readonly Step[] } {
  if (written === "plain") {
    const onMapped = (guestPath: string): void => {
      root.path = guestPath;
    };
    return { onMapped, combination: [] };
  }
  keepInMemory(places, root, written === "read-only");
  const layerPaths: string[] = [];
  const onMapped = (guestPath: string): void => {
    layerPaths[0] = guestPath;
  };
  return { onMapped, combination: [combineStep(layerPaths, places, guest, root)] };
}

function layerSteps(
  plan: RootPlan & { readonly kind: "layers" },
  places: ContainerPlaces,
  boundaries: ResourceBoundaries,
  root: GuestRoot,
): RootSteps {
  const layerPaths: string[] = [];
  const devices = plan.layers.map(({ hostPath, partition }, index) =>
    diskStep(boundaries, {
      name: `layer ${hostPath}`,
      disk: { hostPath, readOnly: true, type: "VirtualDisk" },
      mount: { partition, readOnly: true, options: ["ro"] },
      // Every VM may read layers already.
      needsAccess: false,
      onMapped: (path) => {
        layerPaths[index] = path;
      },
    }),
  );
  if (plan.scratch === undefined) keepInMemory(places, root, true);
  else {
    const { hostPath, encrypted } = plan.scratch;
    devices.push(
      diskStep(boundaries, {
        name: `scratch disk ${hostPath}`,
        disk: { hostPath, readOnly: false, type: "VirtualDisk" },
        // Encrypted disks get xfs, as in microsoft/hcsshim.
        mount: {
          partition: 0,
          readOnly: false,
          ensureFilesystem: true,
          ...(encrypted ? { filesystem: "xfs", encrypted } : { filesystem: "ext4" }),
          ...(places.own === undefined ? {} : { preferredGuestPath: places.own.scratchDisk }),
        },
        needsAccess: true,
        onMapped: (path) => {
          // Containers may share one scratch disk, so each has its own directory on it.
          root.scratchPath = places.scratchOn(path);
        },
      }),
    );
  }
  return {
    host: [],
    devices,
    combination: [combineStep(layerPaths, places, boundaries.guest, root)],
  };
}

function combineStep(
  layerPaths: readonly string[],
  places: ContainerPlaces,
  guest: ContainerGuest,
  root: GuestRoot,
): Step {
  const combination = (): LinuxCombinedLayers => ({
    ContainerID: places.id,
    ContainerRootPath: posix.join(places.bundle, "rootfs"),
    Layers: layerPaths.map((Path) => ({ Path })),
    ScratchPath: root.scratchPath,
  });
  return {
    name: "combined layers",
    async acquire(signal) {
      const layers = combination();
      await guest.addCombinedLayers(layers, signal);
      root.path = layers.ContainerRootPath;
    },
    release: (signal) => guest.removeCombinedLayers(combination(), signal),
  };
}

function imageStep(
  plan: RootPlan & { readonly kind: "image" },
  { own }: ContainerPlaces,
  boundaries: ResourceBoundaries,
  onMapped: (guestPath: string) => void,
): Step {
  const { disk, filesystem, options } = plan;
  return diskStep(boundaries, {
    name: `image ${disk.hostPath}`,
    disk,
    mount: {
      partition: 0,
      readOnly: disk.readOnly,
      filesystem,
      options,
      // A read-only image becomes a layer, for which any path will do.
      ...(own === undefined || disk.readOnly ? {} : { guestPath: own.root }),
    },
    needsAccess: !disk.readOnly,
    onMapped,
  });
}

interface DiskRequest {
  readonly name: string;
  readonly disk: DiskConfig;
  readonly mount: DiskMountConfig;
  /** Whether the VM must be granted access to the disk's file. */
  readonly needsAccess: boolean;
  readonly onMapped: (guestPath: string) => void;
}

function diskStep({ disks, files }: ResourceBoundaries, request: DiskRequest): Step {
  const { name, disk, mount, needsAccess, onMapped } = request;
  return reservedStep(
    name,
    disks,
    async (signal) => {
      if (needsAccess) await files.grantVmAccess(disk.hostPath, signal);
      return await disks.reserve(disk, mount);
    },
    onMapped,
  );
}

function sharedRootStep(
  { directory, readOnly }: RootPlan & { readonly kind: "shared" },
  { own }: ContainerPlaces,
  shares: ContainerShares,
  onMapped: (guestPath: string) => void,
): Step {
  // Writable if the host's directory is, even for a read-only root: the guest's runtime creates missing mount points
  // and then mounts it read-only. Never writable in the container's own folder: the guest deletes everything there when
  // it fails to create the container, and these are files of the host.
  const share = { hostPath: directory, readOnly: readOnly || own !== undefined, ...ownPlace(own, rootShare) };
  return reservedStep(`root ${directory}`, shares, () => shares.reserve(share), onMapped);
}

function ownPlace(own: ContainerPlaces["own"], index: number): { readonly guestPath?: string } {
  return own?.share === undefined ? {} : { guestPath: own.share(index) };
}

function hostMountStep(
  { directory, mounts }: RootPlan & { readonly kind: "shared" },
  { files, begunMounts }: ResourceBoundaries,
): Step {
  return {
    name: `mounts over ${directory}`,
    acquire: (signal) => begunMounts?.take(directory, signal) ?? files.mountAll(mounts, directory, signal),
    release: () => files.unmountAll(directory),
  };
}

/** Steps of the specification's mounts. */
export interface MountSteps {
  /** Files to delete on the host when the container is gone. */
  readonly host: readonly Step[];
  readonly devices: readonly Step[];
}

/** When acquired, a step replaces `mounts[i]` by the mount for the guest. */
export function mountSteps(
  plans: readonly MountPlan[],
  { own }: ContainerPlaces,
  boundaries: ResourceBoundaries,
  mounts: OciMount[],
): MountSteps {
  const { files, shares } = boundaries;
  const host: Step[] = [];
  const devices: Step[] = [];
  for (const [index, plan] of plans.entries()) {
    switch (plan.kind) {
      case "guest":
        break;
      case "share":
        devices.push(
          reservedStep(
            `share of ${plan.mount.source}`,
            shares,
            () => shares.reserve({ ...plan.share, ...ownPlace(own, rootShare + 1 + index) }),
            (path) => {
              mounts[index] = sharedMount(plan, path);
            },
          ),
        );
        break;
      case "disk": {
        const { disk } = plan;
        if (plan.isTemporary) {
          host.push({
            name: `file of disk ${disk.hostPath}`,
            acquire: async () => {},
            release: () => files.removeFile(disk.hostPath),
          });
        }
        devices.push(
          diskStep(boundaries, {
            name: `disk ${disk.hostPath}`,
            disk,
            mount: plan.diskMount,
            // The provider of an extensible disk controls access to it.
            needsAccess: disk.type !== "ExtensibleVirtualDisk",
            onMapped: (path) => {
              mounts[index] = attachedMount(plan, path);
            },
          }),
        );
        break;
      }
      default:
        plan satisfies never;
    }
  }
  return { host, devices };
}

/** Mounts the GPU drivers at the path where the guest expects them, for all containers with a GPU. */
export function driverStep(hostPath: string, boundaries: ResourceBoundaries): Step {
  return diskStep(boundaries, {
    name: `drivers ${hostPath}`,
    disk: { hostPath, readOnly: true, type: "VirtualDisk" },
    mount: { partition: 0, readOnly: true, options: ["ro"], guestPath: linuxGuestPaths.gpuDrivers },
    // Every VM with a GPU may read it, as with layers.
    needsAccess: false,
    onMapped: () => {},
  });
}

/** When acquired, a step replaces `entries[i]` by the device's id in the guest. */
export function deviceSteps(
  plans: readonly DevicePlan[],
  devices: ContainerDevices,
  entries: OciWindowsDevice[],
): readonly Step[] {
  return plans.map(({ entry, device }, index) =>
    reservedStep(
      `device ${entry.id}`,
      devices,
      () => devices.reserve(device),
      (vmBusGuid) => {
        entries[index] = { id: vmBusGuid, idType: entry.idType };
      },
    ),
  );
}
