import type { FunctionTable, NativeFunction } from "./native-types.ts";

/** Windows Server 2016, the first with hvsockets; the functions are older. */
const since = 14393;

/** Functions of ws2_32.dll. A SOCKET is passed like a pointer. */
export const winsockFunctions = {
  WSAStartup: { result: "int32", parameters: ["uint16", "pointer"], since },
  WSACleanup: { result: "int32", parameters: [], since },
  WSAGetLastError: { result: "int32", parameters: [], since, immediate: true },
  WSASocketW: {
    result: "pointer",
    parameters: ["int32", "int32", "int32", "pointer", "uint32", "uint32"],
    since,
    immediate: true,
  },
  bind: { result: "int32", parameters: ["pointer", "pointer", "int32"], since, immediate: true },
  listen: { result: "int32", parameters: ["pointer", "int32"], since, immediate: true },
  setsockopt: {
    result: "int32",
    parameters: ["pointer", "int32", "int32", "pointer", "int32"],
    since,
    immediate: true,
  },
  WSAIoctl: {
    result: "int32",
    parameters: ["pointer", "uint32", "pointer", "uint32", "pointer", "uint32", "pointer", "pointer", "pointer"],
    since,
    immediate: true,
  },
  WSARecv: {
    result: "int32",
    parameters: ["pointer", "pointer", "uint32", "pointer", "pointer", "pointer", "pointer"],
    since,
    immediate: true,
  },
  WSASend: {
    result: "int32",
    parameters: ["pointer", "pointer", "uint32", "pointer", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },
  WSAGetOverlappedResult: {
    result: "int32",
    parameters: ["pointer", "pointer", "pointer", "int32", "pointer"],
    since,
    immediate: true,
  },
  shutdown: { result: "int32", parameters: ["pointer", "int32"], since, immediate: true },
  closesocket: { result: "int32", parameters: ["pointer"], since, immediate: true },
} as const satisfies FunctionTable;

/** Functions that WSAIoctl returns as pointers, by GUID. */
export const winsockExtensions = {
  AcceptEx: {
    id: "b5367df1-cbac-11cf-95ca-00805f48a192",
    result: "int32",
    parameters: ["pointer", "pointer", "pointer", "uint32", "uint32", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },
  ConnectEx: {
    id: "25a207b9-ddf3-4660-8ee9-76e58c74063e",
    result: "int32",
    parameters: ["pointer", "pointer", "int32", "pointer", "uint32", "pointer", "pointer"],
    since,
    immediate: true,
  },
} as const satisfies { readonly [name: string]: NativeFunction & { readonly id: string } };
