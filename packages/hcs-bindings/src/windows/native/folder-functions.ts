import type { FunctionTable } from "./native-types.ts";

/** Windows Server 2016, the first with the compute services; the functions are older. */
const since = 14393;

/** Functions of kernel32.dll about folders. */
export const folderFunctions = {
  CreateDirectoryW: { result: "int32", parameters: ["text", "pointer"], since, immediate: true },
  GetFileInformationByHandleEx: {
    result: "int32",
    parameters: ["pointer", "int32", "pointer", "uint32"],
    since,
    immediate: true,
  },
} as const satisfies FunctionTable;

/** Functions of advapi32.dll about who owns them and who may use them. */
export const folderSecurityFunctions = {
  GetSecurityInfo: {
    result: "uint32",
    parameters: ["pointer", "int32", "uint32", "pointer", "pointer", "pointer", "pointer", "pointer"],
    since,
    immediate: true,
  },
  SetSecurityInfo: {
    result: "uint32",
    parameters: ["pointer", "int32", "uint32", "pointer", "pointer", "pointer", "pointer"],
    since,
    immediate: true,
  },
  GetSecurityDescriptorDacl: {
    result: "int32",
    parameters: ["pointer", "pointer", "pointer", "pointer"],
    since,
    immediate: true,
  },
} as const satisfies FunctionTable;
