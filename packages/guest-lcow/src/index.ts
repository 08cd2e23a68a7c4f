export type { GuestLog, GuestOptions as LinuxGuestOptions, StdioListener } from "@uvm-shim/gcs-bridge";
export { LinuxContainer } from "./container.ts";
export { LinuxGuest } from "./guest.ts";
export { LinuxProcess } from "./process.ts";
