import type { FunctionTable } from "./native-types.ts";

/** Windows Server 2016, the first with the compute services; the functions are older. */
const since = 14393;

/** Functions of kernel32.dll that only a service needs. */
export const serviceKernelFunctions = {
  GetLastError: { result: "uint32", parameters: [], since, immediate: true },
  CloseHandle: { result: "int32", parameters: ["pointer"], since, immediate: true },
  GetModuleHandleW: { result: "pointer", parameters: ["text"], since, immediate: true },
  GetProcAddress: { result: "pointer", parameters: ["pointer", "pointer"], since, immediate: true },
  CreateThread: {
    result: "pointer",
    parameters: ["pointer", "uint64", "pointer", "pointer", "uint32", "pointer"],
    since,
    immediate: true,
  },
} as const satisfies FunctionTable;

/** Functions of advapi32.dll by which a service speaks to the service control manager. */
export const serviceFunctions = {
  RegisterServiceCtrlHandlerExW: {
    result: "pointer",
    parameters: ["text", "pointer", "pointer"],
    since,
    immediate: true,
  },
  SetServiceStatus: { result: "int32", parameters: ["pointer", "pointer"], since, immediate: true },
} as const satisfies FunctionTable;
