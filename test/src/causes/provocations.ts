import type { Provocation } from "./provocation.ts";
import { containerEnds } from "./provoke-containers.ts";
import { machineEnds } from "./provoke-machine.ts";
import { vmEnds } from "./provoke-vms.ts";

export const provocations: readonly Provocation[] = [
  { name: "a pod in which all is well", run: (bench) => bench.running() },
  ...machineEnds,
  ...vmEnds,
  ...containerEnds,
];
