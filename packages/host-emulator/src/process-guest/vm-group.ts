import { join } from "node:path";
import { delay } from "@uvm-shim/lifecycle";
import { isLack } from "../hcs-failure.ts";
import { type Hierarchy, removeGroup, removeTree } from "./hierarchies.ts";

/** The group of all VMs that are in no pod's. */
export const parentName = "uvm-shim";
/** Name of a VM's group below the pod's. */
export const groupInPod = "vm";

/** The group of a VM in one hierarchy. */
export interface VmGroup {
  readonly path: string;
  /** The pod's group, or the VM's if it is in none. */
  readonly top: string;
  readonly hierarchy: Hierarchy;
}

/** The group of a VM below `top`, which is a pod's if there is one. */
export function groupIn(hierarchy: Hierarchy, pod: string | undefined, top: string): VmGroup {
  const path = join(hierarchy.mountPoint, top);
  return { path: pod === undefined ? path : join(path, groupInPod), top: path, hierarchy };
}

/** Removes groups with those below them. Retries while ending processes keep them busy, or resources are short. */
export async function removeAll(groups: readonly VmGroup[], timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    let unreadable: unknown;
    const left = groups.filter(({ path }) => {
      try {
        return !removeTree(path);
      } catch (error) {
        if (!isLack(error)) throw error;
        unreadable = error;
        return true;
      }
    });
    if (left.length === 0) return;
    if (performance.now() > deadline) {
      const paths = left.map(({ path }) => path).join(", ");
      const state = unreadable === undefined ? "busy" : `there (${String(unreadable)})`;
      throw new Error(`cgroups still ${state} after ${timeoutMs} ms: ${paths}`, { cause: unreadable });
    }
    await delay(pause);
  }
}

/** The parent group of VMs without a pod is removed with the last of them, even one of another host. */
export function removeParents(groups: readonly VmGroup[]): void {
  for (const { hierarchy } of groups) removeGroup(join(hierarchy.mountPoint, parentName));
}
