export * from "./boot.ts";
export * from "./devices.ts";
