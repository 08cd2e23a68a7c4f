import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { GrpcFailure, GrpcServer, GrpcServerOptions, UnaryHandler } from "./types.ts";

/** Serves unary methods whose messages stay bytes: encoding is the caller's. */
export function createGrpcServer({ services, largestMessage }: GrpcServerOptions): GrpcServer {
  const server = new Server({ "grpc.max_receive_message_length": largestMessage });
  for (const [service, handlers] of Object.entries(services)) {
    server.addService(definitionOf(service, Object.keys(handlers)), implementationOf(handlers));
  }
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    accept: (connection) => {
      connection.on("error", () => {});
      injector.injectConnection(connection);
    },
    close: async (milliseconds) => {
      injector.drain(milliseconds);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      injector.destroy();
    },
  };
}

const unchanged = (message: Buffer): Buffer => message;

function definitionOf(service: string, methods: readonly string[]): ServiceDefinition {
  return Object.fromEntries(
    methods.map((method) => [
      method,
      {
        ...{ path: `/${service}/${method}`, requestStream: false, responseStream: false },
        ...{ requestSerialize: unchanged, requestDeserialize: unchanged },
        ...{ responseSerialize: unchanged, responseDeserialize: unchanged },
      },
    ]),
  );
}

function implementationOf(handlers: { readonly [method: string]: UnaryHandler }): UntypedServiceImplementation {
  return Object.fromEntries(
    Object.entries(handlers).map(([method, handler]) => [
      method,
      (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
        const stop = new AbortController();
        call.once("cancelled", () => stop.abort());
        // A handler may throw before it returns a promise.
        void (async () => await handler(call.request, { headers: headersOf(call), signal: stop.signal }))().then(
          (response) => answer(null, Buffer.from(response.buffer, response.byteOffset, response.byteLength)),
          (error: unknown) => answer(failureOf(error)),
        );
      },
    ]),
  );
}

function headersOf(call: ServerUnaryCall<Buffer, Buffer>): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(call.metadata.getMap())) {
    if (typeof value === "string") headers.set(name, value);
  }
  return headers;
}

function failureOf(error: unknown): { readonly code: number; readonly details: string } {
  if (!(error instanceof Error)) return { code: status.UNKNOWN, details: String(error) };
  const { grpcCode } = error as Partial<GrpcFailure>;
  return { code: grpcCode ?? status.UNKNOWN, details: error.message };
}
