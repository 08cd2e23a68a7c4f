import { defaultHostSocket } from "@uvm-shim/host-protocol/host-process";
import { HostError } from "../host-error.ts";

/** Where an emulated host listens. */
export interface HostLocation {
  readonly socketPath: string;
  /** Whether to start a host if none listens there. */
  readonly mayStart: boolean;
}

/**
 * Reads `UVM_SHIM_HOST`: unset or empty selects the default socket, where a host is started on demand; `unix:/path`
 * selects a host that is started elsewhere; `none` forbids an emulated host (Unavailable).
 */
export function resolveHost(env: { readonly [name: string]: string | undefined }): HostLocation {
  const details = { operation: "find host", id: "UVM_SHIM_HOST" };
  const value = env.UVM_SHIM_HOST ?? "";
  if (value === "") return { socketPath: defaultHostSocket, mayStart: true };
  if (value === "none") {
    throw new HostError(
      "Unavailable",
      "this machine has no Host Compute Service, and UVM_SHIM_HOST=none forbids an emulated host",
      details,
    );
  }
  if (value.startsWith("unix:/")) return { socketPath: value.slice("unix:".length), mayStart: false };
  throw new HostError(
    "InvalidArgument",
    `invalid value ${JSON.stringify(value)}: expected "none", "unix:/path/of/socket" or no value`,
    details,
  );
}
