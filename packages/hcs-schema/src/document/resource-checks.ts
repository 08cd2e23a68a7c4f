import {
  answerObject,
  type Check,
  checkGuid,
  closedObject,
  integer,
  list,
  oneOf,
  optional,
  refine,
  text,
  truth,
} from "../check.ts";
import {
  type AttributionRecord,
  type CpuGroup,
  type CrashReport,
  type MemoryInformation,
  type ProcessorLimits,
  processorLimit,
  type SystemPropertyType,
  type SystemStatistics,
  type VirtualMachineMemoryCounters,
} from "./resources.ts";

/** A memory size that the service accepts: guests get memory in multiples of 2 MiB. */
export const checkMemorySize: Check<number> = refine(
  integer(1),
  "a positive even number of mebibytes",
  (value) => value % 2 === 0,
);

/** Settings of `resourcePaths.processorLimits`, within the bounds of the HCS schema's ProcessorLimits. */
export const checkProcessorLimits: Check<ProcessorLimits> = closedObject<ProcessorLimits>({
  Limit: optional(integer(1, processorLimit.unlimited)),
  Weight: optional(integer(1, processorLimit.heaviest)),
  Reservation: optional(integer(0, processorLimit.unlimited)),
  MaximumFrequencyMHz: optional(integer(0)),
});

/** Settings of `resourcePaths.cpuGroup`: the GUID of a group. Whether there is one only the host knows. */
export const checkCpuGroup: Check<CpuGroup> = closedObject<CpuGroup>({ Id: checkGuid });

/** The property types of a query that this package has checks for. */
export const checkSystemPropertyTypes: Check<readonly SystemPropertyType[]> = list(oneOf("Memory", "Statistics"));

/** A 64-bit counter of the kernel or the hypervisor. Beyond 2^53 it is not exact here. */
export const checkCounter: Check<number> = refine(
  (value, path = "") => (typeof value === "number" ? value : integer(0)(value, path)),
  "a 64-bit counter",
  (value) => value >= 0 && value <= 2 ** 64,
);

// The service of another build may return more fields.
/** The property "Memory" of a running VM. Available memory is signed, all else counts from 0. */
export const checkMemoryInformation = answerObject<MemoryInformation>({
  VirtualNodeCount: optional(checkCounter),
  VirtualMachineMemory: optional(
    answerObject<VirtualMachineMemoryCounters>({
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

/** The property "Statistics" of a running VM. Times are counts of 100 ns. */
export const checkSystemStatistics = answerObject<SystemStatistics>({
  Timestamp: optional(text),
  Uptime100ns: optional(checkCounter),
  Processor: optional(
    answerObject<NonNullable<SystemStatistics["Processor"]>>({
      TotalRuntime100ns: optional(checkCounter),
      RuntimeUser100ns: optional(checkCounter),
      RuntimeKernel100ns: optional(checkCounter),
    }),
  ),
});

const longestCrashLog = 64 * 1024;

/** A guest's last output. The end of it says why the guest crashed. */
const crashLog: Check<string> = (value, path) => text(value, path).slice(-longestCrashLog);

/**
 * Data of the event HcsEventSystemCrashReport. Of the guest's log the last 64 KiB of characters are kept, which say why
 * it crashed.
 */
export const checkCrashReport = answerObject<CrashReport>({
  SystemId: optional(text),
  ActivityId: optional(text),
  CrashLog: optional(crashLog),
  CrashParameters: optional(list(checkCounter)),
});

const attribution = answerObject<AttributionRecord>({
  WorkerExit: optional(
    answerObject<NonNullable<AttributionRecord["WorkerExit"]>>({
      ExitCode: optional(checkCounter),
      Type: optional(text),
      Detail: optional(text),
      Initiator: optional(text),
    }),
  ),
  GuestCrash: optional(
    answerObject<NonNullable<AttributionRecord["GuestCrash"]>>({ CrashParameters: optional(list(checkCounter)) }),
  ),
  TripleFault: optional(
    answerObject<NonNullable<AttributionRecord["TripleFault"]>>({ ErrorType: optional(checkCounter) }),
  ),
  InjectNonMaskableInterrupt: optional(answerObject<Record<never, never>>({})),
  OperationFailure: optional(
    answerObject<NonNullable<AttributionRecord["OperationFailure"]>>({ Detail: optional(text) }),
  ),
  SystemExit: optional(
    answerObject<NonNullable<AttributionRecord["SystemExit"]>>({ Detail: optional(text), Initiator: optional(text) }),
  ),
  VirtualDeviceFailure: optional(
    answerObject<NonNullable<AttributionRecord["VirtualDeviceFailure"]>>({
      Detail: optional(text),
      Name: optional(text),
      DeviceId: optional(text),
      InstanceId: optional(text),
    }),
  ),
});

/** Why a system ended, for people to read. */
export const checkAttribution = list(attribution);
