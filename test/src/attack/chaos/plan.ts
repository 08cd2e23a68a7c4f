import { PHASES } from "../../shim-client/pod.ts";
import type { Server } from "../../support/servers.ts";
import { randomOf, seedFor } from "../random.ts";

export interface ChaosPlan {
  readonly seed: number;
  readonly victim: Server;
  /** The call at which it is killed with SIGKILL, counted from 0, and how many milliseconds after it was made. */
  readonly call: number;
  readonly delayMs: number;
  /** What is done with each container, in order. */
  readonly containers: readonly (readonly ContainerStep[])[];
}

export type ContainerStep = "exec" | "stats" | "pids" | "kill" | "wait" | "delete";

const victims: readonly Server[] = ["shim", "guest agent", "emulated host"];
const steps: readonly ContainerStep[] = ["exec", "stats", "pids", "exec"];
const mostContainers = 3;
const mostSteps = 4;
const longestDelayMs = 40;

/** The same for the same seed. */
export function planChaos(seed: number): ChaosPlan {
  const random = randomOf(seedFor(seed, "chaos"));
  const below = (limit: number): number => Math.floor(random() * limit);
  const containers = Array.from({ length: 1 + below(mostContainers) }, (): readonly ContainerStep[] => {
    const own = Array.from({ length: below(mostSteps) }, () => steps[below(steps.length)] ?? "stats");
    return [...own, "kill", "wait", "delete"];
  });
  // Creation and start come before, the pod's own calls around them.
  const calls = containers.reduce((sum, own) => sum + own.length + 2, PHASES.length - 3);
  return {
    ...{ seed, victim: victims[below(victims.length)] ?? "shim" },
    ...{ call: below(calls), delayMs: random() * longestDelayMs, containers },
  };
}
