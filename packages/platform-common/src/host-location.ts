/** What the environment says of the host, checked without connecting to it. */
import { resolveHost, resolveLibraries } from "@uvm-shim/hcs-bindings/host-location";
import { readHostSettings } from "@uvm-shim/host-protocol/host-settings";

type Environment = { readonly [name: string]: string | undefined };

/** Throws an Error that names a variable of a wrong form, its value and what is expected. */
export const checkHostVariables = process.platform === "win32" ? checkLibraries : checkEmulated;

function checkLibraries(env: Environment): void {
  if (env.UVM_SHIM_HOST !== "none") resolveLibraries(env);
}

function checkEmulated(env: Environment): void {
  if (env.UVM_SHIM_HOST === "none") return;
  if (resolveHost(env).mayStart) readHostSettings(env);
}
