export * from "./boot.ts";
export * from "./devices.ts";
export * from "./hvsockets.ts";
