import type { FunctionTable } from "./native-types.ts";

/** computestorage.dll: container layers (computestorage.h). */
export const computeStorageFunctions = {
  HcsFormatWritableLayerVhd: { result: "int32", parameters: ["pointer"], since: 17763 },
} as const satisfies FunctionTable;
