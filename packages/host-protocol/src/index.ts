export * from "./calls.ts";
export * from "./declared-devices.ts";
export * from "./guest-boot.ts";
export { guestFolders } from "./guest-folders.ts";
export { JsonLines } from "./json-lines.ts";
