import { type ComputeSystemDocument, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { paths } from "./system-under-test.ts";

export const memoryMb = 512;

/** A VM with a process guest, SCSI controller 0, Plan9 and VSMB. */
export function vmDocument(options: {
  readonly owner: string;
  readonly endsWithLastHandle: boolean;
}): ComputeSystemDocument {
  return {
    Owner: options.owner,
    SchemaVersion: { Major: 2, Minor: 1 },
    ShouldTerminateOnLastHandleClosed: options.endsWithLastHandle,
    VirtualMachine: {
      Chipset: { LinuxKernelDirect: paths.boot },
      ComputeTopology: { Memory: { SizeInMB: memoryMb }, Processor: { Count: 1 } },
      Devices: { Plan9: {}, VirtualSmb: {}, Scsi: { [scsiControllerGuids[0]]: {} } },
    },
  };
}
