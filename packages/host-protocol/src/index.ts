export * from "./calls.ts";
export * from "./host-process.ts";
export * from "./host-settings.ts";
export * from "./hvsockets.ts";
export { JsonLines } from "./json-lines.ts";
