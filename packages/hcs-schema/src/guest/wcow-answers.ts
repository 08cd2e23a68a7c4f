/** A Windows guest's answers about a container. */
import { answerObject, checkGuid, integer, list, optional, text } from "../check.ts";
import { checkCounter } from "../document/resource-checks.ts";

/** Measurements of a container; times are counts of 100 ns. */
export interface WindowsContainerStatistics {
  readonly Timestamp?: string;
  readonly ContainerStartTime?: string;
  readonly Uptime100ns?: number;
  readonly Processor?: {
    readonly TotalRuntime100ns?: number;
    readonly RuntimeUser100ns?: number;
    readonly RuntimeKernel100ns?: number;
  };
  readonly Memory?: {
    readonly MemoryUsageCommitBytes?: number;
    readonly MemoryUsageCommitPeakBytes?: number;
    readonly MemoryUsagePrivateWorkingSetBytes?: number;
  };
  readonly Storage?: {
    readonly ReadCountNormalized?: number;
    readonly ReadSizeBytes?: number;
    readonly WriteCountNormalized?: number;
    readonly WriteSizeBytes?: number;
  };
}

/**
 * What a Windows guest knows of a process: image name, start as RFC 3339, processor time in units of 100 ns and memory
 * in bytes. Source: ProcessDetails of the HCS schema.
 */
export interface WindowsProcessDetails {
  readonly ProcessId: number;
  readonly ImageName?: string;
  readonly CreateTimestamp?: string;
  readonly UserTime100ns?: number;
  readonly KernelTime100ns?: number;
  readonly MemoryCommitBytes?: number;
  readonly MemoryWorkingSetPrivateBytes?: number;
  readonly MemoryWorkingSetSharedBytes?: number;
}

const counter = optional(checkCounter);

const statistics = answerObject<WindowsContainerStatistics>({
  Timestamp: optional(text),
  ContainerStartTime: optional(text),
  Uptime100ns: counter,
  Processor: optional(
    answerObject<NonNullable<WindowsContainerStatistics["Processor"]>>({
      TotalRuntime100ns: counter,
      RuntimeUser100ns: counter,
      RuntimeKernel100ns: counter,
    }),
  ),
  Memory: optional(
    answerObject<NonNullable<WindowsContainerStatistics["Memory"]>>({
      MemoryUsageCommitBytes: counter,
      MemoryUsageCommitPeakBytes: counter,
      MemoryUsagePrivateWorkingSetBytes: counter,
    }),
  ),
  Storage: optional(
    answerObject<NonNullable<WindowsContainerStatistics["Storage"]>>({
      ReadCountNormalized: counter,
      ReadSizeBytes: counter,
      WriteCountNormalized: counter,
      WriteSizeBytes: counter,
    }),
  ),
});

/** Answer of a Windows guest that was asked for a container's statistics. Counters are 64 bits wide. */
export const checkWindowsStatistics = answerObject<{ readonly Statistics: WindowsContainerStatistics }>({
  Statistics: statistics,
});

/** Answer of a Windows guest that was asked for a container's processes. The list is absent when there are none. */
export const checkWindowsProcessList = answerObject<{ readonly ProcessList?: readonly WindowsProcessDetails[] }>({
  ProcessList: optional(
    list(
      answerObject<WindowsProcessDetails>({
        ProcessId: integer(1, 0xffffffff),
        ImageName: optional(text),
        CreateTimestamp: optional(text),
        UserTime100ns: counter,
        KernelTime100ns: counter,
        MemoryCommitBytes: counter,
        MemoryWorkingSetPrivateBytes: counter,
        MemoryWorkingSetSharedBytes: counter,
      }),
    ),
  ),
});

/** Answer of a Windows guest to the creation of a container: the GUID of its system in the guest. */
export const checkWindowsSystemGuid = answerObject<{ readonly SystemGUID: string }>({ SystemGUID: checkGuid });
