/** The messages and services of a shim's socket, for its clients: containerd's API and the diagnostic services. */
export { containerd, google, io, runtimeoptions, uvmshim } from "./generated/messages.js";
export type { StateTree } from "./services/diagnostics/state.ts";
