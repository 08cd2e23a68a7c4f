export { type LibraryPaths, librariesOf, systemLibraries } from "./libraries.ts";
export { nativeMachine } from "./native-calls.ts";
export type { FunctionTable, NativeLibrary, NativeMachine } from "./native-types.ts";
