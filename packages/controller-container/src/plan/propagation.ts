/** Mount propagation between host and container, which shares support in part only. */
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { ContainerHostFiles } from "../types.ts";
import type { MountPlan } from "./mount-plan.ts";

const toContainer: ReadonlySet<string> = new Set(["slave", "rslave", "shared", "rshared"]);
const toHost: ReadonlySet<string> = new Set(["shared", "rshared"]);
const propagations: ReadonlySet<string> = new Set([...toContainer, "private", "rprivate", "unbindable", "runbindable"]);

/** The last propagation option, as in runtimes. */
function propagationOf({ options = [] }: OciMount): string {
  return options.findLast((option) => propagations.has(option)) ?? "";
}

/** Whether later mounts below its source must appear in it. */
export function takesLaterMounts(mount: OciMount): boolean {
  return toContainer.has(propagationOf(mount));
}

/** Warnings about propagation that is requested and does not work. */
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
