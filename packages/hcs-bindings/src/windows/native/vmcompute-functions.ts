import type { FunctionTable } from "./native-types.ts";

/** vmcompute.dll: layers of Windows containers. It has no public header; microsoft/hcsshim declares them. */
export const vmcomputeFunctions = {
  NameToGuid: { result: "int32", parameters: ["text", "pointer"], since: 17763 },
  CreateSandboxLayer: {
    result: "int32",
    parameters: ["pointer", "text", "pointer", "pointer", "uint32"],
    since: 17763,
  },
} as const satisfies FunctionTable;
