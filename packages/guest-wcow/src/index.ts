export { WindowsContainer } from "./container.ts";
export { WindowsGuest } from "./guest.ts";
export { WindowsProcess } from "./process.ts";
export { type WindowsSignalling, windowsSignalling } from "./signals.ts";
export type { WindowsGuestOptions } from "./types.ts";
