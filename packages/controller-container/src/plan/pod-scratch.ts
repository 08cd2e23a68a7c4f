import type { PodScratch } from "./options.ts";
import type { RootPlan } from "./root.ts";

/**
 * With share_scratch all containers use the scratch disk of the pod's sandbox container, each with a directory of its
 * own. Their own scratch disks stay unused.
 */
export function withPodScratch(
  plan: RootPlan,
  {
    id,
    podId,
    isEmptied,
    podScratch,
    warn,
  }: {
    readonly id: string;
    readonly podId: string;
    /**
     * Whether the guest deletes the disk's content with this container, because it is mounted in the container's
     * folder.
     */
    readonly isEmptied: boolean;
    readonly podScratch?: PodScratch;
    readonly warn: (sentence: string) => void;
  },
): RootPlan {
  if (podScratch === undefined || plan.kind !== "layers" || plan.scratch === undefined) return plan;
  if (id === podId) {
    if (isEmptied) return plan;
    podScratch.hostPath = plan.scratch.hostPath;
    return plan;
  }
  const { hostPath } = podScratch;
  if (hostPath !== undefined) return { ...plan, scratch: { ...plan.scratch, hostPath } };
  warn("option share_scratch has no effect: the pod has no sandbox container with a scratch disk");
  return plan;
}
