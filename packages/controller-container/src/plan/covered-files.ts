import { join, posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { PathLookup } from "../types.ts";
import { isReadOnly } from "./disk-mounts.ts";
import type { MountPlan } from "./mount-plan.ts";

const folder = "/etc";
/** Files that a guest mounts into every container that does not mount them itself. */
const networkFiles = ["hostname", "hosts", "resolv.conf"];

/**
 * The guest's runtime cannot mount these files over a read-only mount of /etc that does not have them, and the
 * container would fail. So empty files are mounted before that mount, which hides them: the guest adds nothing, and the
 * container sees exactly its own /etc.
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

/** Whether the file is known to exist; the host cannot look into disks. */
async function hasFile(plan: MountPlan, name: string, files: PathLookup): Promise<boolean> {
  if (plan.kind !== "share" || plan.file !== undefined) return false;
  return (await files.kind(join(plan.share.hostPath, name))) === "file";
}
