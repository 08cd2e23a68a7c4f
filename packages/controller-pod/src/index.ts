export { PodController, type PodOptions } from "./controller.ts";
export { type PodState, type PodStateName, type PodTransition, podTable } from "./lifecycle.ts";
export type { PodContainer, PodExit, PodNetwork, PodProcess, PodVm, PodVmExit } from "./types.ts";
