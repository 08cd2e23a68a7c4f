import type { FunctionTable } from "./native-types.ts";

/** Windows Server 2016, the first with the compute services; the functions are older. */
const since = 14393;

/** Functions of kernel32.dll. */
export const kernelFunctions = {
  CloseHandle: { result: "int32", parameters: ["pointer"], since, immediate: true },
  GetLastError: { result: "uint32", parameters: [], since, immediate: true },
  LocalFree: { result: "pointer", parameters: ["pointer"], since, immediate: true },

  CreateIoCompletionPort: {
    result: "pointer",
    parameters: ["pointer", "pointer", "pointer", "uint32"],
    since,
    immediate: true,
  },
  GetQueuedCompletionStatusEx: {
    result: "int32",
    parameters: ["pointer", "pointer", "uint32", "pointer", "uint32", "int32"],
    since,
  },
  PostQueuedCompletionStatus: {
    result: "int32",
    parameters: ["pointer", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },
  SetFileCompletionNotificationModes: {
    result: "int32",
    parameters: ["pointer", "uint32"],
    since,
    immediate: true,
  },
  CancelIoEx: { result: "int32", parameters: ["pointer", "pointer"], since, immediate: true },
  GetOverlappedResult: {
    result: "int32",
    parameters: ["pointer", "pointer", "pointer", "int32"],
    since,
    immediate: true,
  },

  CreateFileW: {
    result: "pointer",
    parameters: ["text", "uint32", "uint32", "pointer", "uint32", "uint32", "pointer"],
    since,
    // The driver opens devices of the host only, which answer at once.
    immediate: true,
  },
  DeviceIoControl: {
    result: "int32",
    parameters: ["pointer", "uint32", "pointer", "uint32", "pointer", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },
  GetTimeZoneInformation: { result: "uint32", parameters: ["pointer"], since, immediate: true },

  CreateNamedPipeW: {
    result: "pointer",
    parameters: ["text", "uint32", "uint32", "uint32", "uint32", "uint32", "uint32", "pointer"],
    since,
    immediate: true,
  },
  ConnectNamedPipe: { result: "int32", parameters: ["pointer", "pointer"], since, immediate: true },
  ReadFile: {
    result: "int32",
    parameters: ["pointer", "pointer", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },
  WriteFile: {
    result: "int32",
    parameters: ["pointer", "pointer", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },

  CreateEventW: { result: "pointer", parameters: ["pointer", "int32", "int32", "text"], since, immediate: true },
  OpenEventW: { result: "pointer", parameters: ["uint32", "int32", "text"], since, immediate: true },
  SetEvent: { result: "int32", parameters: ["pointer"], since, immediate: true },
  RegisterWaitForSingleObject: {
    result: "int32",
    parameters: ["pointer", "pointer", "pointer", "pointer", "uint32", "uint32"],
    since,
    immediate: true,
  },
  UnregisterWaitEx: { result: "int32", parameters: ["pointer", "pointer"], since },

  CreateJobObjectW: { result: "pointer", parameters: ["pointer", "text"], since, immediate: true },
  SetInformationJobObject: {
    result: "int32",
    parameters: ["pointer", "int32", "pointer", "uint32"],
    since,
    immediate: true,
  },
  AssignProcessToJobObject: { result: "int32", parameters: ["pointer", "pointer"], since, immediate: true },

  OpenProcess: { result: "pointer", parameters: ["uint32", "int32", "uint32"], since, immediate: true },
  GetProcessTimes: {
    result: "int32",
    parameters: ["pointer", "pointer", "pointer", "pointer", "pointer"],
    since,
    immediate: true,
  },
  K32EnumProcesses: { result: "int32", parameters: ["pointer", "uint32", "pointer"], since },
  QueryFullProcessImageNameW: {
    result: "int32",
    parameters: ["pointer", "uint32", "pointer", "pointer"],
    since,
  },
  K32GetProcessMemoryInfo: { result: "int32", parameters: ["pointer", "pointer", "uint32"], since },
} as const satisfies FunctionTable;

/** Functions of advapi32.dll. */
export const securityFunctions = {
  ConvertStringSecurityDescriptorToSecurityDescriptorW: {
    result: "int32",
    parameters: ["text", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },
  OpenProcessToken: { result: "int32", parameters: ["pointer", "uint32", "pointer"], since, immediate: true },
  GetTokenInformation: {
    result: "int32",
    parameters: ["pointer", "int32", "pointer", "uint32", "pointer"],
    since,
    immediate: true,
  },
} as const satisfies FunctionTable;
