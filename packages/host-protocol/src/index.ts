export * from "./calls.ts";
export * from "./declared-devices.ts";
export * from "./guest-boot.ts";
export * from "./guest-devices.ts";
export * from "./host-process.ts";
export * from "./hvsockets.ts";
export { JsonLines } from "./json-lines.ts";
