/** The messages and services of containerd's shim API, for clients of a shim. */
export { containerd, google, io, runtimeoptions, uvmshim } from "./generated/messages.js";
