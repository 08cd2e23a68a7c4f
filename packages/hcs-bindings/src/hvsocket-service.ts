import { checkGuid, highestVsockPort, vsockServiceGuid } from "@uvm-shim/hcs-schema";
import { messageOf } from "@uvm-shim/lifecycle";
import { HostError } from "./host-error.ts";
import type { HvsocketService } from "./types.ts";

/** The port of a service: the first 32 bits of its GUID. That is how vsock ports map to GUIDs. */
export function portOf(systemId: string, service: HvsocketService): number {
  if (typeof service === "number") return service;
  try {
    return Number.parseInt(checkGuid(service).slice(0, 8), 16);
  } catch (cause) {
    const id = `${systemId} service ${service}`;
    throw new HostError("InvalidArgument", "invalid service: expected a GUID", {
      operation: "listen on hvsocket",
      id,
      cause,
    });
  }
}

/** The GUID of a service, in lower case. */
export function serviceGuidOf(service: HvsocketService): string {
  return typeof service === "number" ? vsockServiceGuid(service) : checkGuid(service).toLowerCase();
}

/** Throws a HostError with code InvalidArgument for what is no vsock port. */
export function checkPort(operation: string, systemId: string, port: number): void {
  if (Number.isInteger(port) && port >= 0 && port <= highestVsockPort) return;
  throw socketError("InvalidArgument", operation, systemId, port, `invalid port: expected 0 to ${highestVsockPort}`);
}

/** The error for an hvsocket call. `cause` is an error or a message. */
export function socketError(
  code: "AlreadyExists" | "NotFound" | "Internal" | "Unavailable" | "InvalidArgument" | "ResourceExhausted",
  operation: string,
  systemId: string,
  port: number,
  cause: unknown,
): HostError {
  const message = messageOf(cause);
  return new HostError(code, message, { operation, id: `${systemId} port ${port}`, cause });
}
