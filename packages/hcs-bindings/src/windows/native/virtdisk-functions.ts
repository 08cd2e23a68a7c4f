import type { FunctionTable } from "./native-types.ts";

/** virtdisk.dll: virtual disks (virtdisk.h). */
export const virtdiskFunctions = {
  AttachVirtualDisk: {
    result: "uint32",
    parameters: ["pointer", "pointer", "uint32", "uint32", "pointer", "pointer"],
    since: 17763,
  },
  CreateVirtualDisk: {
    result: "uint32",
    parameters: ["pointer", "text", "uint32", "pointer", "uint32", "uint32", "pointer", "pointer", "pointer"],
    since: 17763,
  },
  DetachVirtualDisk: { result: "uint32", parameters: ["pointer", "uint32", "uint32"], since: 17763 },
  ExpandVirtualDisk: { result: "uint32", parameters: ["pointer", "uint32", "pointer", "pointer"], since: 17763 },
  GetVirtualDiskInformation: {
    result: "uint32",
    parameters: ["pointer", "pointer", "pointer", "pointer"],
    since: 17763,
  },
  GetVirtualDiskPhysicalPath: { result: "uint32", parameters: ["pointer", "pointer", "pointer"], since: 17763 },
  OpenVirtualDisk: {
    result: "uint32",
    parameters: ["pointer", "text", "uint32", "uint32", "pointer", "pointer"],
    since: 17763,
  },
  SetVirtualDiskInformation: { result: "uint32", parameters: ["pointer", "pointer"], since: 17763 },
} as const satisfies FunctionTable;
