/** What the shim asks of the part that speaks gRPC, which only a sandboxer loads. Satisfied by packages/grpc-server. */
import type { Duplex } from "node:stream";

/** What a handler learns of a call, beside its request. */
export interface UnaryCall {
  readonly headers: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
}

/** Answers one call; the bytes are encoded messages. */
export type UnaryHandler = (request: Uint8Array, call: UnaryCall) => Promise<Uint8Array>;

/** A server that listens nowhere: connections are handed to it. */
export interface GrpcServer {
  accept(connection: Duplex): void;
  close(milliseconds: number): Promise<void>;
}

/** What the part exports. */
export interface GrpcPart {
  createGrpcServer(options: {
    readonly services: { readonly [service: string]: { readonly [method: string]: UnaryHandler } };
    readonly largestMessage: number;
  }): GrpcServer;
}
