import { checkGuid, SchemaError, vsockServiceGuid } from "@uvm-shim/hcs-schema";
import { HostError } from "../host-error.ts";
import type { HvsocketService } from "../types.ts";
import type { Subject } from "./refusal.ts";

/** The GUID of a service, in lower case; that of a vsock port is made from the port. */
export function serviceGuidOf(subject: Subject, service: HvsocketService): string {
  try {
    return typeof service === "number" ? vsockServiceGuid(service) : checkGuid(service).toLowerCase();
  } catch (cause) {
    if (!(cause instanceof RangeError) && !(cause instanceof SchemaError)) throw cause;
    throw new HostError("InvalidArgument", cause.message, { ...subject, cause });
  }
}

/** The vsock port that a service's GUID begins with, whether it is the GUID of one or not. */
export const portOfService = (guid: string): number => Number.parseInt(guid.slice(0, 8), 16);
