import type { PodScratch } from "./options.ts";
import type { RootPlan } from "./root.ts";

/**
 * Where containers share the scratch disk of their pod's sandbox container, each still has a directory of its own on it,
 * and the disk that came with it stays unused.
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
    /** Whether the guest empties the disk with this container, in whose folder it stands. */
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
