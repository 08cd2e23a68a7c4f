/** What the shim asks of the part that speaks gRPC, which only a sandboxer loads. Satisfied by packages/grpc-server. */
import type { Duplex } from "node:stream";

export interface UnaryCall {
  readonly headers: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
}

export type UnaryHandler = (request: Uint8Array, call: UnaryCall) => Promise<Uint8Array>;

export interface GrpcServer {
  accept(connection: Duplex): void;
  close(milliseconds: number): Promise<void>;
}

export interface GrpcPart {
  createGrpcServer(options: {
    readonly services: { readonly [service: string]: { readonly [method: string]: UnaryHandler } };
    readonly largestMessage: number;
  }): GrpcServer;
}
