import { posix } from "node:path";
import { inStrictOrder } from "@uvm-shim/container-common";
import { type Step, unlessGone } from "@uvm-shim/lifecycle";
import type { DevicePlan } from "../plan/devices.ts";
import type { MountPlan } from "../plan/mount-plan.ts";
import type { RootPlan } from "../plan/root.ts";
import type { ContainerGuest, ContainerPlaces, DiskConfig } from "../types.ts";
import type { GuestContainerSteps } from "./guest-container.ts";
import type { GuestRoot, RootSteps } from "./steps.ts";

/** Steps of a container's resources in its VM. */
export interface VmParts {
  readonly root: RootSteps;
  readonly mounts: readonly Step[];
  readonly others: readonly Step[];
  readonly container: GuestContainerSteps;
}

/** What of a container stands in its folder in the guest. */
export interface GuestFolders {
  readonly places: ContainerPlaces;
  readonly isSandbox: boolean;
  readonly guest: ContainerGuest;
  readonly root: GuestRoot;
}

/**
 * The steps in the order of acquisition; they are released in reverse. In the guest, deleting a container's state
 * deletes every file below its folders, mounted or not, and undoes the mounts of combined layers there. So it is
 * released after the layers and before the disks with the container's writes; where everything is in the container's
 * own folder, it is released last. A step that fails to release keeps the steps that must not be released before it.
 */
export function vmSteps({ root, mounts, others, container }: VmParts, folders: GuestFolders): readonly Step[] {
  const { devices, combination } = root;
  const { processes, state } = container;
  if (folders.places.own === undefined) {
    const ordered = inStrictOrder([...devices, boundBundle(container, folders), state, ...combination, processes]);
    return [...ordered.slice(0, -1), ...mounts, ...others, ...ordered.slice(-1)];
  }
  const ordered = inStrictOrder([state, ...devices, ...combination, ...mounts, processes]);
  const base = ordered.slice(0, 1 + devices.length + combination.length);
  return [
    // A sandbox has further file systems in its folder, which only the deletion of its state removes. So all of it ends
    // with the VM, as with the shims that this layout comes from.
    ...(folders.isSandbox ? base.map((step) => ({ ...step, release: async () => {} })) : base),
    ...ordered.slice(base.length, -1),
    ...others,
    ...ordered.slice(-1),
  ];
}

/** Folders of a sandbox with further file systems (internal/guest/spec of microsoft/hcsshim). */
const sandboxFolders = ["sandboxTmpfsMounts", "sandboxMounts", "hugepages"];

/**
 * Combining layers with a scratch directory outside of the container's folder mounts a part of the scratch disk over
 * that folder. Deleting the container's state unmounts it. A container that could not be created has no state: the disk
 * would stay mounted while it is detached, and a retry would delete the root on it. So the guest is asked to remove
 * layers there, for which it unmounts and deletes whatever is at the path.
 */
function boundBundle(container: GuestContainerSteps, { places, isSandbox, guest, root }: GuestFolders): Step {
  const { bundle, id } = places;
  const paths = [...(isSandbox ? sandboxFolders.map((name) => posix.join(bundle, name)) : []), bundle];
  return {
    name: "scratch disk in the container's folder",
    acquire: async () => {},
    async release(signal) {
      const { scratchPath } = root;
      if (
        container.isStateDeleted() ||
        scratchPath === "" ||
        scratchPath === bundle ||
        scratchPath.startsWith(`${bundle}/`)
      )
        return;
      for (const ContainerRootPath of [...paths, scratchPath]) {
        const layers = { ContainerID: id, ContainerRootPath, Layers: [], ScratchPath: "" };
        await unlessGone(() => guest.removeCombinedLayers(layers, signal));
      }
    },
  };
}

/**
 * Whether the VM may end before the container is released. A guest may still have to write to a disk what it has in its
 * memory, and a device or a provider of disks may have to be told. Files of shares are the host's own, and a guest passes
 * on what is written to them before it answers the writer.
 */
export function canEndWithVm(root: RootPlan, mounts: readonly MountPlan[], devices: readonly DevicePlan[]): boolean {
  const disks = mounts.flatMap((plan) => (plan.kind === "disk" ? [plan.disk] : []));
  return devices.length === 0 && isUnwritten(root) && disks.every(isOnlyRead);
}

function isUnwritten(root: RootPlan): boolean {
  switch (root.kind) {
    case "layers":
      return root.scratch === undefined;
    case "image":
      return isOnlyRead(root.disk);
    case "shared":
      return true;
  }
}

function isOnlyRead({ readOnly, type }: DiskConfig): boolean {
  return readOnly && type !== "ExtensibleVirtualDisk";
}

/** Warnings about files of the host that the guest deletes when it fails to create the container. */
export function filesAtRisk(root: RootPlan, mounts: readonly MountPlan[], { own }: ContainerPlaces): readonly string[] {
  if (own === undefined) return [];
  const why = "a guest with a security policy deletes all files in the folder of a container that it fails to create";
  const sentences: string[] = [];
  if (root.kind === "shared" && !root.readOnly) {
    sentences.push(`writes to the container's root stay in memory and do not reach ${root.directory}: ${why}`);
  }
  if (root.kind === "image" && !root.disk.readOnly) {
    sentences.push(`image ${root.disk.hostPath} is writable and may lose its files: ${why}`);
  }
  if (own.share === undefined) return sentences;
  for (const plan of mounts) {
    if (plan.kind !== "share" || plan.share.readOnly) continue;
    sentences.push(`mount ${plan.mount.destination}: files of ${plan.mount.source} may be deleted: ${why}`);
  }
  return sentences;
}
