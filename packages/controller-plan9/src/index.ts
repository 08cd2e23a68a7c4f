export { Plan9Controller, type Plan9ControllerOptions, type ShareView } from "./controller.ts";
export {
  type MountOperation,
  type MountState,
  type MountStateKind,
  mountTable,
  type ShareOperation,
  type ShareState,
  type ShareStateKind,
  shareTable,
} from "./lifecycle.ts";
export { type ShownFolder, showFolder } from "./shown-folder.ts";
export type { Plan9Guest, Plan9Host, ShareConfig } from "./types.ts";
