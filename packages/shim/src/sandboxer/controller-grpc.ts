import { statusCodes } from "@uvm-shim/ttrpc";
import { type ShimError, translateError } from "../errors.ts";
import { containerd } from "../generated/messages.js";
import type { Log } from "../platform.ts";
import { checkIdentifier } from "../program/identifiers.ts";
import type { ControllerHandlers, ControllerMethod } from "./controller-service.ts";
import type { GrpcPart, GrpcServer, UnaryHandler } from "./grpc-part.ts";

const { Controller } = containerd.services.sandbox.v1;

/** containerd's own limit of a message, in bytes. */
const largestMessage = 16 * 1024 * 1024;
/** By which containerd's clients name a namespace. */
const namespaceHeader = "containerd-namespace";
const traceHeaders = ["traceparent", "tracestate"] as const;

/** The controller's service over gRPC. */
export function serveController(part: GrpcPart, handlers: ControllerHandlers, log: Log): GrpcServer {
  const methods = Object.keys(Controller.methods) as ControllerMethod[];
  const unary = methods.map((method) => [method, unaryHandler(method, handlers, log)] as const);
  return part.createGrpcServer({ services: { [Controller.name]: Object.fromEntries(unary) }, largestMessage });
}

function unaryHandler<M extends ControllerMethod>(method: M, handlers: ControllerHandlers, log: Log): UnaryHandler {
  const { request: requestType, response: responseType } = Controller.methods[method];
  return async (bytes, { headers, signal }) => {
    try {
      const request = requestType.decode(bytes);
      const namespace = checkIdentifier(`${method}: header ${namespaceHeader}`, headers.get(namespaceHeader) ?? "");
      const metadata = Object.fromEntries(
        traceHeaders.flatMap((name) => {
          const value = headers.get(name);
          return value === undefined ? [] : [[name, value]];
        }),
      );
      const answer = await handlers[method](request as never, { namespace, metadata, signal });
      return responseType.encode(answer as never).finish();
    } catch (error) {
      const failure = translateError(error);
      log.log("debug", "controller call failed", { method, code: failure.code, error: failure.message });
      throw withGrpcCode(failure);
    }
  };
}

function withGrpcCode(failure: ShimError): Error {
  return Object.assign(new Error(failure.message), { grpcCode: statusCodes[failure.code] });
}
