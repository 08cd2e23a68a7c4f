/** What becomes of what host and container mount below a folder of the host, which the container has by a share. */
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { ContainerHostFiles } from "../types.ts";
import type { MountPlan } from "./mounts.ts";

const toContainer: ReadonlySet<string> = new Set(["slave", "rslave", "shared", "rshared"]);
const toHost: ReadonlySet<string> = new Set(["shared", "rshared"]);
const propagations: ReadonlySet<string> = new Set([...toContainer, "private", "rprivate", "unbindable", "runbindable"]);

/** The last that is given, as runtimes take it. */
function propagationOf({ options = [] }: OciMount): string {
  return options.findLast((option) => propagations.has(option)) ?? "";
}

/** Whether what is mounted below its source later on is to show in it. */
export function takesLaterMounts(mount: OciMount): boolean {
  return toContainer.has(propagationOf(mount));
}

/** Sentences about mounts that are to pass between host and container, and do not. */
export async function withoutPropagation(
  plans: readonly MountPlan[],
  files: Pick<ContainerHostFiles, "showsLaterMounts">,
): Promise<readonly string[]> {
  const sentences: string[] = [];
  for (const plan of plans) {
    if (plan.kind !== "share" || plan.file !== undefined) continue;
    const { destination, source = "" } = plan.mount;
    const asked = propagationOf(plan.mount);
    if (toHost.has(asked)) {
      const why = `what the container mounts below ${destination} stays in its VM`;
      sentences.push(`mount ${destination}: ${asked} has no effect on the host: ${why}`);
    }
    if (toContainer.has(asked) && !(await files.showsLaterMounts(plan.share.hostPath))) {
      const why = `what the host mounts below ${source} later does not appear in its share`;
      sentences.push(`mount ${destination}: ${asked} has no effect in the container: ${why}`);
    }
  }
  return sentences;
}
