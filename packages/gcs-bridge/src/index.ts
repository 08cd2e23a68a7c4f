export type { BridgeOptions } from "./channel.ts";
export { GcsBridgeClient, type GcsBridgeClientOptions, type LateAnswer } from "./client.ts";
export {
  GcsError,
  type GcsErrorDetails,
  type GcsErrorRecord,
  GuestFault,
  givenUpError,
} from "./error.ts";
export { FieldError, Fields } from "./fields.ts";
export {
  type ProcessOwner,
  type ProcessRequest,
  type ProcessSurroundings,
  type StartedProcess,
  startProcess,
} from "./guest/execution.ts";
export { type PropertyQuery, queryProperties } from "./guest/properties.ts";
export { type GuestManners, GuestRequests, guestRequestOf, type ModifyRequest } from "./guest/requests.ts";
export { type ProcessPipes, ProcessStdio, type StdioStreams } from "./guest/stdio.ts";
export type { GuestLog, GuestOptions, StdioListener } from "./guest/types.ts";
export { type ContainerNotification, type NotificationType, notificationTypes } from "./notification.ts";
export type * from "./procedure-bodies.ts";
export * from "./procedures.ts";
export {
  GcsBridgeServer,
  type GcsBridgeServerOptions,
  type GuestHandler,
  type GuestHandlers,
  type RequestContext,
} from "./server.ts";
export type { GuestTrace } from "./trace.ts";
export { defaultMaxMessageSize, protocolVersion, uvmContainerId } from "./wire.ts";
