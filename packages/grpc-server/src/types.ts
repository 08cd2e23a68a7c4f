/** What the server asks of those who use it. Satisfied by packages/shim (src/sandboxer). */
import type { Duplex } from "node:stream";

/** What a handler learns of a call, beside its request. */
export interface UnaryCall {
  /** The text headers of the call, by their lower-case names; of one that came several times, the last. */
  readonly headers: ReadonlyMap<string, string>;
  /** Aborts when the client gives up or its deadline passes. */
  readonly signal: AbortSignal;
}

/** Answers one call. An error that it throws becomes the call's status: see `GrpcFailure`. */
export type UnaryHandler = (request: Uint8Array, call: UnaryCall) => Promise<Uint8Array>;

/** What a handler throws; anything else is answered as UNKNOWN, with its message. */
export interface GrpcFailure extends Error {
  /** A status code of gRPC, 1 to 16. */
  readonly grpcCode: number;
}

/** What a server offers. */
export interface GrpcServerOptions {
  /** By the full name of the service, then the name of the method. A method that is not here is answered as UNIMPLEMENTED. */
  readonly services: { readonly [service: string]: { readonly [method: string]: UnaryHandler } };
  /** The largest message that is taken, in bytes. */
  readonly largestMessage: number;
}

/** A server that listens nowhere: its caller hands it connections. */
export interface GrpcServer {
  /** Serves a connection that has been accepted. */
  accept(connection: Duplex): void;
  /** Takes no further calls, lets those under way end within the time, then cuts them off. */
  close(milliseconds: number): Promise<void>;
}
