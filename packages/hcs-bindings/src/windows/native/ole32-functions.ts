import type { FunctionTable } from "./native-types.ts";

/** ole32.dll: frees the texts of computenetwork.dll. */
export const ole32Functions = {
  CoTaskMemFree: { result: "void", parameters: ["pointer"], since: 14393, immediate: true },
} as const satisfies FunctionTable;
