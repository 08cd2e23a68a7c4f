export { type CallOptions, TtrpcClient, type TtrpcClientOptions } from "./client.ts";
export type { Connection } from "./connection.ts";
export { protocolMaxMessageSize } from "./frame.ts";
export { TtrpcServer, type TtrpcServerOptions } from "./server.ts";
export {
  type CallContext,
  defineService,
  type Handler,
  type Handlers,
  type Interceptor,
  implement,
  type MessageType,
  type MethodDefinition,
  type MethodKind,
  type ServiceDefinition,
  type ServiceImplementation,
} from "./service.ts";
export { type ErrorName, type StatusName, statusCodes, TtrpcError } from "./status.ts";
export { type Turn, Turns, type TurnsOptions } from "./turns.ts";
