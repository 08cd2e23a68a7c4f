import { join, posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { PathLookup } from "../types.ts";
import { isReadOnly } from "./disk-mounts.ts";
import type { MountPlan } from "./mount-plan.ts";

const folder = "/etc";
/** What a guest mounts into every container that does not mount it itself. */
const networkFiles = ["hostname", "hosts", "resolv.conf"];

/**
 * A mount for reading at /etc that lacks one of these files leaves the guest's runtime no place to mount it, and the
 * container would fail. Those are mounted here, empty, before that mount, which covers them: the container sees what it
 * was given, and the guest adds nothing.
 */
export async function coveredNetworkFiles(
  plans: readonly MountPlan[],
  files: PathLookup,
): Promise<readonly OciMount[]> {
  const cover = plans.findLast(({ mount }) => posix.normalize(`${mount.destination}/`) === `${folder}/`);
  if (cover === undefined || !isReadOnly(cover.mount)) return [];
  const covered: OciMount[] = [];
  for (const name of networkFiles) {
    const destination = posix.join(folder, name);
    if (plans.some(({ mount }) => mount.destination === destination) || (await hasFile(cover, name, files))) continue;
    covered.push({ destination, type: "bind", source: "/dev/null", options: ["bind", "ro"] });
  }
  return covered;
}

/** Whether it is known to be there: the host does not look into disks. */
async function hasFile(plan: MountPlan, name: string, files: PathLookup): Promise<boolean> {
  if (plan.kind !== "share" || plan.file !== undefined) return false;
  return (await files.kind(join(plan.share.hostPath, name))) === "file";
}
