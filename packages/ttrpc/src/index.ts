export {
  type CallContext,
  defineService,
  type Handler,
  type Handlers,
  implement,
  type MessageType,
  type MethodDefinition,
  type MethodKind,
  type ServiceDefinition,
  type ServiceImplementation,
} from "./service.ts";
export { type ErrorName, type StatusName, statusCodes, TtrpcError } from "./status.ts";
