import { posix } from "node:path";
import { type LinuxCombinedLayers, linuxGuestPaths, type OciMount, type OciWindowsDevice } from "@uvm-shim/hcs-schema";
import { abortable, type Step } from "@uvm-shim/lifecycle";
import type { DevicePlan } from "./devices.ts";
import { type MountPlan, sharedMount } from "./mounts.ts";
import type { RootPlan } from "./root.ts";
import type {
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
  ContainerShares,
  DiskMountConfig,
} from "./types.ts";

/** The boundaries at which a container's resources are acquired. */
export interface ResourceBoundaries {
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly files: ContainerHostFiles;
}

export interface ContainerIdentity {
  readonly id: string;
  readonly podId: string;
}

/** The root file system as it stands in the guest once the steps have run. */
export interface GuestRoot {
  path: string;
  /** Empty where the container has no scratch disk. */
  scratchPath: string;
}

export function guestBundlePath({ id, podId }: ContainerIdentity): string {
  return posix.join(linuxGuestPaths.containerRoot, podId, id);
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

export function rootSteps(
  plan: RootPlan,
  identity: ContainerIdentity,
  boundaries: ResourceBoundaries,
  root: GuestRoot,
): RootSteps {
  switch (plan.kind) {
    case "layers":
      return layerSteps(plan, identity, boundaries, root);
    case "image":
      return { host: [], devices: [imageStep(plan, boundaries, root)], combination: [] };
    case "shared":
      return {
        host: plan.mounts.length === 0 ? [] : [hostMountStep(plan, boundaries.files)],
        devices: [sharedRootStep(plan, boundaries.shares, root)],
        combination: [],
      };
  }
}

function layerSteps(
  plan: RootPlan & { readonly kind: "layers" },
  identity: ContainerIdentity,
  boundaries: ResourceBoundaries,
  root: GuestRoot,
): RootSteps {
  const layerPaths: string[] = [];
  const devices = plan.layers.map((hostPath, index) =>
    diskStep(
      `layer ${hostPath}`,
      { hostPath, readOnly: true, type: "VirtualDisk" },
      { partition: 0, readOnly: true, options: ["ro"] },
      boundaries,
      (path) => {
        layerPaths[index] = path;
      },
    ),
  );
  if (plan.scratch !== undefined) {
    devices.push(
      diskStep(
        `scratch disk ${plan.scratch}`,
        { hostPath: plan.scratch, readOnly: false, type: "VirtualDisk" },
        { partition: 0, readOnly: false, ensureFilesystem: true, filesystem: "ext4" },
        boundaries,
        (path) => {
          // Containers may share one scratch disk, so each has a directory of its own on it.
          root.scratchPath = posix.join(path, "scratch", identity.podId, identity.id);
        },
      ),
    );
  }
  return { host: [], devices, combination: [combineStep(layerPaths, identity, boundaries.guest, root)] };
}

function combineStep(
  layerPaths: readonly string[],
  identity: ContainerIdentity,
  guest: ContainerGuest,
  root: GuestRoot,
): Step {
  const combination = (): LinuxCombinedLayers => ({
    ContainerID: identity.id,
    ContainerRootPath: posix.join(guestBundlePath(identity), "rootfs"),
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

function imageStep(plan: RootPlan & { readonly kind: "image" }, boundaries: ResourceBoundaries, root: GuestRoot): Step {
  const { disk, filesystem, options } = plan;
  const mount = { partition: 0, readOnly: disk.readOnly, filesystem, options };
  return diskStep(`image ${disk.hostPath}`, disk, mount, boundaries, (path) => {
    root.path = path;
  });
}

function diskStep(
  name: string,
  disk: Parameters<ContainerDisks["reserve"]>[0],
  mount: DiskMountConfig,
  { disks, files }: ResourceBoundaries,
  onMapped: (guestPath: string) => void,
): Step {
  return reservedStep(
    name,
    disks,
    async (signal) => {
      // What the VM writes to belongs to the caller; read-only layers are readable for every VM already.
      if (!disk.readOnly) await files.grantVmAccess(disk.hostPath, signal);
      return await disks.reserve(disk, mount);
    },
    onMapped,
  );
}

function sharedRootStep(
  { directory }: RootPlan & { readonly kind: "shared" },
  shares: ContainerShares,
  root: GuestRoot,
): Step {
  // Writable even where the root is to be read-only: the guest's runtime makes missing mount points in it, then
  // mounts it read-only for the container.
  return reservedStep(
    `root ${directory}`,
    shares,
    () => shares.reserve({ hostPath: directory, readOnly: false }),
    (path) => {
      root.path = path;
    },
  );
}

function hostMountStep({ directory, mounts }: RootPlan & { readonly kind: "shared" }, files: ContainerHostFiles): Step {
  return {
    name: `mounts over ${directory}`,
    acquire: (signal) => files.mountAll(mounts, directory, signal),
    release: () => files.unmountAll(directory),
  };
}

/** Steps of the specification's mounts. `mounts[i]` is replaced by what the guest is to mount for plan i. */
export function mountSteps(plans: readonly MountPlan[], shares: ContainerShares, mounts: OciMount[]): readonly Step[] {
  return plans.flatMap((plan, index) => {
    if (plan.kind === "guest") return [];
    return [
      reservedStep(
        `share of ${plan.mount.source}`,
        shares,
        () => shares.reserve(plan.share),
        (path) => {
          mounts[index] = sharedMount(plan, path);
        },
      ),
    ];
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
