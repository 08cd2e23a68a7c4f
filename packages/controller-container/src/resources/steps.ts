import { posix } from "node:path";
import { type LinuxCombinedLayers, linuxGuestPaths, type OciMount, type OciWindowsDevice } from "@uvm-shim/hcs-schema";
import { abortable, type Step } from "@uvm-shim/lifecycle";
import type { DevicePlan } from "../plan/devices.ts";
import { attachedMount } from "../plan/disk-mounts.ts";
import type { MountPlan } from "../plan/mount-plan.ts";
import { sharedMount } from "../plan/mounts.ts";
import type { RootPlan } from "../plan/root.ts";
import type {
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
}

/** Of a container's own shares, the number of its root file system; those of its mounts follow. */
const rootShare = 0;

/** The root file system as it stands in the guest once the steps have run. */
export interface GuestRoot {
  path: string;
  /** What the container writes lies there: on its scratch disk, or in the VM's memory. */
  scratchPath: string;
  /** Whether the container may write nothing, however it was asked for. */
  isReadOnly: boolean;
}

/** Steps that make the root file system, in the order of their acquisition. */
export interface RootSteps {
  /** What stands on the host, and outlives the VM. */
  readonly host: readonly Step[];
  /** What the VM is given. */
  readonly devices: readonly Step[];
  /** What the guest makes of it in the container's bundle. */
  readonly combination: readonly Step[];
}

/**
 * Guest and runtime make files and mount points in every root. Over one that cannot be written to the guest lays what is
 * needed, in its memory, and the container's view of it is read-only still, unless it was to be writable.
 */
function keepInMemory(places: ContainerPlaces, root: GuestRoot, isReadOnly: boolean): void {
  root.scratchPath = places.own?.scratch ?? posix.join(places.bundle, "scratch", places.id);
  root.isReadOnly = isReadOnly;
}

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
        host: plan.mounts.length === 0 ? [] : [hostMountStep(plan, boundaries.files)],
        devices: [sharedRootStep(plan, places, boundaries.shares, whole.onMapped)],
        combination: whole.combination,
      };
    }
  }
}

/** What is made of a root that comes in one piece, once it stands in the guest. */
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
      // Layers are readable for every VM already.
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
        // The guest makes xfs on what it encrypts, as the reference's does.
        mount: {
          partition: 0,
          readOnly: false,
          ensureFilesystem: true,
          ...(encrypted ? { filesystem: "xfs", encrypted } : { filesystem: "ext4" }),
          ...(places.own === undefined ? {} : { preferredGuestPath: places.own.scratchDisk }),
        },
        needsAccess: true,
        onMapped: (path) => {
          // Containers may share one scratch disk, so each has a directory of its own on it.
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
      // One that is read-only is a layer below what the guest makes of it.
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
  /** Whether the disk belongs to the caller, so that the VM has to be allowed to open it. */
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
  // Writable where the host's is, though the root is to be read-only: the guest's runtime makes missing mount points in
  // it, then mounts it read-only for the container. Never in the container's own folder: what the guest makes of a
  // container that it could not create is to delete all that it reaches there, and these are the host's files.
  const share = { hostPath: directory, readOnly: readOnly || own !== undefined, ...ownPlace(own, rootShare) };
  return reservedStep(`root ${directory}`, shares, () => shares.reserve(share), onMapped);
}

function ownPlace(own: ContainerPlaces["own"], index: number): { readonly guestPath?: string } {
  return own?.share === undefined ? {} : { guestPath: own.share(index) };
}

function hostMountStep({ directory, mounts }: RootPlan & { readonly kind: "shared" }, files: ContainerHostFiles): Step {
  return {
    name: `mounts over ${directory}`,
    acquire: (signal) => files.mountAll(mounts, directory, signal),
    release: () => files.unmountAll(directory),
  };
}

/** Steps of the specification's mounts. */
export interface MountSteps {
  /** What is to be taken from the host when the container is gone. */
  readonly host: readonly Step[];
  readonly devices: readonly Step[];
}

/** `mounts[i]` is replaced by what the guest is to mount for plan i. */
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
            // Who provides an extensible disk decides by itself who may open it.
            needsAccess: disk.type !== "ExtensibleVirtualDisk",
            onMapped: (path) => {
              mounts[index] = attachedMount(plan, path);
            },
          }),
        );
      }
    }
  }
  return { host, devices };
}

/** Drivers stand at the one place where the guest looks for them, for all containers that have a GPU. */
export function driverStep(hostPath: string, boundaries: ResourceBoundaries): Step {
  return diskStep(boundaries, {
    name: `drivers ${hostPath}`,
    disk: { hostPath, readOnly: true, type: "VirtualDisk" },
    mount: { partition: 0, readOnly: true, options: ["ro"], guestPath: linuxGuestPaths.gpuDrivers },
    // Of every VM with a GPU, as layers are.
    needsAccess: false,
    onMapped: () => {},
  });
}

/** Steps of the devices. `entries[i]` is replaced by what the guest knows the device of plan i by. */
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

function reservedStep(
  name: string,
  device: Pick<ContainerDisks, "mapToGuest" | "unmapFromGuest">,
  reserve: (signal?: AbortSignal) => Promise<string>,
  onMapped: (nameInGuest: string) => void,
): Step {
  let reservation: string | undefined;
  return {
    name,
    async acquire(signal) {
      reservation = await reserve(signal);
      onMapped(await device.mapToGuest(reservation, signal));
    },
    async release(signal) {
      if (reservation === undefined) return;
      await device.unmapFromGuest(reservation, signal);
      reservation = undefined;
    },
  };
}

/** What only the VM holds is released with the VM; a release that waits for it then waits no longer. */
export function vmBound(step: Step, vmGone: AbortSignal): Step {
  return {
    name: step.name,
    acquire: (signal) => step.acquire(signal),
    release: async (signal) => {
      if (vmGone.aborted) return;
      try {
        await abortable(step.release(signal), vmGone);
      } catch (error) {
        if (!vmGone.aborted) throw error;
      }
    },
  };
}
