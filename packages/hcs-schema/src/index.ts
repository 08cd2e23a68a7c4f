export * from "./document.ts";
export * from "./guest.ts";
export * from "./hresult.ts";
export * from "./oci.ts";
export * from "./wellknown.ts";
