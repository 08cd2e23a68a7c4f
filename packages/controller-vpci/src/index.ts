export { type DeviceView, VpciController, type VpciControllerOptions } from "./controller.ts";
export {
  type AssignmentOperation,
  type AssignmentState,
  type AssignmentStateKind,
  assignmentTable,
} from "./lifecycle.ts";
export type { DeviceConfig, LinuxVpciGuest, VpciHost } from "./types.ts";
