/** Which host `UVM_SHIM_HOST` names; without the drivers that connect to it. */
export { resolveHost } from "./emulator/resolve-host.ts";
export { resolveLibraries } from "./windows/native/libraries.ts";
