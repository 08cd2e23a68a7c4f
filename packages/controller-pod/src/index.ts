export { PodController } from "./controller.ts";
export { type PodOperation, type PodState, type PodStateKind, podTable } from "./lifecycle.ts";
export type { PodOptions } from "./options.ts";
export type { EarlyWork, PodContainer, PodNetwork, PodProcess, PodVm } from "./types.ts";
