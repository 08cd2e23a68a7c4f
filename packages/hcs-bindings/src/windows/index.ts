export { computeCoreFunctions } from "./computecore-functions.ts";
export { computeNetworkFunctions } from "./computenetwork-functions.ts";
export { computeStorageFunctions } from "./computestorage-functions.ts";
export { hostStructures } from "./host-structures.ts";
export { type LibraryPaths, librariesOf, systemLibraries } from "./libraries.ts";
export { nativeMachine } from "./native-calls.ts";
export type { FunctionTable, NativeLibrary, NativeMachine } from "./native-types.ts";
export { type ShimCalls, shimCalls } from "./shim-calls.ts";
export { virtdiskFunctions } from "./virtdisk-functions.ts";
