export {
  type PipeOperation,
  type PipeState,
  type PipeStateKind,
  pipeTable,
  type ShareOperation,
  type ShareState,
  type ShareStateKind,
  shareTable,
} from "./lifecycle.ts";
export { PipeController, type PipeControllerOptions, type PipeView, pipeNameOf } from "./pipes.ts";
export { type ShareView, VsmbController, type VsmbControllerOptions } from "./shares.ts";
export { type ShownFolder, showFolder } from "./shown-folder.ts";
export type { PipeHost, ShareConfig, VsmbHost } from "./types.ts";
