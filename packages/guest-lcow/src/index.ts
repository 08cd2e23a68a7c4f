export { LinuxContainer } from "./container.ts";
export { LinuxGuest } from "./guest.ts";
export { LinuxProcess } from "./process.ts";
export type { GuestLog, LinuxGuestOptions, StdioListener } from "./types.ts";
