import { type Names, spelledAs } from "./any-case.ts";
import {
  type Check,
  checkGuid,
  closedObject,
  integer,
  list,
  oneOf,
  openObject,
  optional,
  refine,
  text,
  truth,
} from "./check.ts";
import {
  type CpuGroup,
  type CrashReport,
  type MemoryInformation,
  type ProcessorLimits,
  processorLimit,
  type SystemPropertyType,
  type SystemStatistics,
  type VirtualMachineMemoryCounters,
} from "./resources.ts";

/** A memory size that the service accepts: guests get memory in steps of 2 MiB. */
export const checkMemorySize: Check<number> = refine(
  integer(1),
  "an even number of mebibytes, not 0",
  (value) => value % 2 === 0,
);

export const checkProcessorLimits: Check<ProcessorLimits> = closedObject<ProcessorLimits>({
  Limit: optional(integer(1, processorLimit.unlimited)),
  Weight: optional(integer(1, processorLimit.heaviest)),
  Reservation: optional(integer(0, processorLimit.unlimited)),
  MaximumFrequencyMHz: optional(integer(0)),
});

export const checkCpuGroup: Check<CpuGroup> = closedObject<CpuGroup>({ Id: checkGuid });

export const checkSystemPropertyTypes: Check<readonly SystemPropertyType[]> = list(oneOf("Memory", "Statistics"));

/** A counter of the kernel's or the hypervisor's, 64 bits wide there: beyond 2^53 it is not exact. */
export const checkCounter: Check<number> = refine(
  (value, path = "") => (typeof value === "number" ? value : integer(0)(value, path)),
  "a counter of 64 bits",
  (value) => value >= 0 && value <= 2 ** 64,
);

// The service of another build may tell more than is known here.
export const checkMemoryInformation: Check<MemoryInformation> = openObject<MemoryInformation>({
  VirtualNodeCount: optional(checkCounter),
  VirtualMachineMemory: optional(
    openObject<VirtualMachineMemoryCounters>({
      AvailableMemory: optional(integer(-0x80000000, 0x7fffffff)),
      AvailableMemoryBuffer: optional(integer(-0x80000000, 0x7fffffff)),
      ReservedMemory: optional(checkCounter),
      AssignedMemory: optional(checkCounter),
      SlpActive: optional(truth),
      BalancingEnabled: optional(truth),
      DmOperationInProgress: optional(truth),
    }),
  ),
});

export const checkSystemStatistics: Check<SystemStatistics> = openObject<SystemStatistics>({
  Timestamp: optional(text),
  Uptime100ns: optional(checkCounter),
  Processor: optional(
    openObject<NonNullable<SystemStatistics["Processor"]>>({
      TotalRuntime100ns: optional(checkCounter),
      RuntimeUser100ns: optional(checkCounter),
      RuntimeKernel100ns: optional(checkCounter),
    }),
  ),
});

export const checkCrashReport: Check<CrashReport> = openObject<CrashReport>({
  SystemId: optional(text),
  ActivityId: optional(text),
  CrashLog: optional(text),
  CrashParameters: optional(list(checkCounter)),
});

const attribution: Names = {
  WorkerExit: { ExitCode: true, Type: true, Detail: true, Initiator: true },
  GuestCrash: { CrashParameters: true },
  TripleFault: { ErrorType: true },
  InjectNonMaskableInterrupt: {},
  OperationFailure: { Detail: true },
  SystemExit: { Detail: true, Initiator: true },
  VirtualDeviceFailure: { Detail: true, Name: true, DeviceId: true, InstanceId: true },
};

/** Why a system ended, for people to read. */
export const checkAttribution: Check<readonly unknown[]> = list((record) => spelledAs(attribution, record));
