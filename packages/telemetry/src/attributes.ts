import type { Attributes, Observation } from "./types.ts";

/**
 * Which attributes of observations are exported, and under which name. What is not here stays in the shim: arguments,
 * environments and annotations of containers are nobody else's business.
 */
export const exportedAttributes: { readonly [attribute: string]: string } = {
  container: "container.id",
  container_id: "container.id",
  exec: "uvm_shim.exec.id",
  exec_id: "uvm_shim.exec.id",
  sandbox_id: "uvm_shim.sandbox.id",
  id: "uvm_shim.id",
  what: "uvm_shim.what",
  subject: "uvm_shim.subject",
  request: "uvm_shim.request",
  resource: "uvm_shim.resource",
  port: "uvm_shim.port",
  status: "uvm_shim.status",
  signal: "uvm_shim.signal",
  reason: "uvm_shim.reason",
};

/** The attributes that may leave the machine, under the names that collectors know. All others are dropped. */
export function exported(attributes: Attributes): Attributes {
  const kept: { [name: string]: string | number | boolean } = {};
  for (const [name, value] of Object.entries(attributes)) {
    const exportedName = Object.hasOwn(exportedAttributes, name) ? exportedAttributes[name] : undefined;
    if (exportedName !== undefined) kept[exportedName] = value;
  }
  return kept;
}

/** By names of the shim's closed list of codes, their numbers in gRPC. */
const codeNumbers: { readonly [code: string]: number } = {
  Cancelled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
};

/** The codes for which a server's span fails, by the conventions for gRPC: those that are not the client's mistake. */
const serversFault: ReadonlySet<string> = new Set([
  "Unknown",
  "DeadlineExceeded",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
]);

/** The outcome of what did not fail. */
export const success = "OK";

/** "OK", or the code of an error; what has none is an internal error. */
export function outcomeOf(error: unknown): string {
  if (error === undefined) return success;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && Object.hasOwn(codeNumbers, code) ? code : "Internal";
}

/** Whether an outcome is the shim's own failure: that a client asked for something impossible is not. */
export function isFailure({ kind }: Observation, outcome: string): boolean {
  return kind === "request" ? serversFault.has(outcome) : outcome !== success;
}

/** gRPC's number of an outcome. */
export function statusNumber(outcome: string): number {
  return codeNumbers[outcome] ?? 0;
}

/** The attributes of a call by the conventions that containerd's own spans of these calls follow. */
export function rpcAttributes({ name }: Observation): {
  readonly "rpc.system": string;
  readonly "rpc.service": string;
  readonly "rpc.method": string;
} {
  const slash = name.lastIndexOf("/");
  return {
    "rpc.system": "ttrpc",
    "rpc.service": name.slice(0, Math.max(0, slash)),
    "rpc.method": name.slice(slash + 1),
  };
}
