/** The messages and services that containerd and its shims exchange, for clients of a shim. */
export { containerd, google, io, runtimeoptions } from "./generated/messages.js";
