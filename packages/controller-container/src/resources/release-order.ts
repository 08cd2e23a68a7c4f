import { posix } from "node:path";
import { type Step, unlessGone } from "@uvm-shim/lifecycle";
import type { MountPlan } from "../plan/mounts.ts";
import type { RootPlan } from "../plan/root.ts";
import type { ContainerGuest, ContainerPlaces } from "../types.ts";
import type { GuestContainerSteps } from "./guest-container.ts";
import type { GuestRoot, RootSteps } from "./steps.ts";

/** What a container takes of its VM. */
export interface VmParts {
  readonly root: RootSteps;
  readonly mounts: readonly Step[];
  readonly others: readonly Step[];
  readonly container: GuestContainerSteps;
}

export interface GuestFolders {
  readonly places: ContainerPlaces;
  readonly isSandbox: boolean;
  readonly guest: ContainerGuest;
  readonly root: GuestRoot;
}

/**
 * All of it in the order in which it is acquired. In the guest, deleting a container's state deletes every file that is
 * reached in its folders, mounts or not, and undoes what combining its layers has mounted there. So it comes after the
 * layers, and before the disks that hold what is written; where all stands in the container's own folder it comes last.
 * What cannot be given back keeps what must not go before it.
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
    // A sandbox has file systems of its own in there, which go with its state alone, so that all of it goes with the VM,
    // as it does with the shims that this layout is of.
    ...(folders.isSandbox ? base.map((step) => ({ ...step, release: async () => {} })) : base),
    ...ordered.slice(base.length, -1),
    ...others,
    ...ordered.slice(-1),
  ];
}

/** Where a sandbox has file systems of its own (internal/guest/spec of microsoft/hcsshim). */
const sandboxFolders = ["sandboxTmpfsMounts", "sandboxMounts", "hugepages"];

/**
 * Combining layers whose scratch directory is not in the container's folder mounts a part of the scratch disk over that
 * folder. With the container's state that goes as well, but what could not be made has no state: it would keep a disk
 * mounted that is taken away, and on it a directory in which all of the root is deleted, for whoever tries again. A guest
 * asked to remove layers unmounts and deletes whatever is there.
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

/** The same steps; one that fails to be given back is found again by those before it, which then stay as they are. */
function inStrictOrder(steps: readonly Step[]): readonly Step[] {
  const failures = new Map<number, unknown>();
  return steps.map((step, index) => ({
    name: step.name,
    acquire: (signal) => step.acquire(signal),
    async release(signal) {
      for (const [later, error] of failures) if (later > index) throw error;
      try {
        await unlessGone(() => step.release(signal));
        failures.delete(index);
      } catch (error) {
        failures.set(index, error);
        throw error;
      }
    },
  }));
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
