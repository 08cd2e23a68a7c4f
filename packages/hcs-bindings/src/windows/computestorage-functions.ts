import type { FunctionTable } from "./native-types.ts";

/** computestorage.dll: container layers (computestorage.h). */
export const computeStorageFunctions = {
  HcsDestroyLayer: { result: "int32", parameters: ["text"], since: 17763 },
  HcsInitializeWritableLayer: { result: "int32", parameters: ["text", "text", "text"], since: 17763 },
  HcsAttachLayerStorageFilter: { result: "int32", parameters: ["text", "text"], since: 17763 },
  HcsDetachLayerStorageFilter: { result: "int32", parameters: ["text"], since: 17763 },
  HcsFormatWritableLayerVhd: { result: "int32", parameters: ["pointer"], since: 17763 },
  HcsGetLayerVhdMountPath: { result: "int32", parameters: ["pointer", "pointer"], since: 17763 },
} as const satisfies FunctionTable;
