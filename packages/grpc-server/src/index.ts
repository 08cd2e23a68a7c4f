export { createGrpcServer } from "./server.ts";
export type { GrpcFailure, GrpcServer, GrpcServerOptions, UnaryCall, UnaryHandler } from "./types.ts";
